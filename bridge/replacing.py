"""A folder takes the place of another in one step: readers find the old one or the new one."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowering.host.drafts import abandoned, held

# How often a save may find that another one came first.
_ATTEMPTS = 256

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# The errors of kernels and file systems that cannot exchange.
_CANNOT = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM))


def replace(draft: Path, target: Path, check: Callable[[Path], None]) -> None:
    """Put the folder `draft` at `target`; the folder that was there is at `draft` afterwards.

    `check` raises for a folder that must not be replaced, and is asked about the very folder that was. Then
    that one is put back. Raises OSError where the folder cannot be put there.
    """
    for _ in range(_ATTEMPTS):
        try:
            os.rename(draft, target)  # only where nothing is, or an empty folder
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return
        try:
            with held(target) as steady:
                if steady:
                    exchange(draft, target)
                    _check_replaced(draft, target, check)
                    return
        except FileNotFoundError:  # what was there is gone
            continue
    raise OSError("other processes keep writing there")


def _check_replaced(replaced: Path, target: Path, check: Callable[[Path], None]) -> None:
    try:
        check(replaced)
    except BaseException:
        exchange(replaced, target)
        raise


def exchange(one: Path, other: Path) -> None:
    """Let two paths change places, in one step where the file system can (Linux)."""
    if _rename is not None:
        given = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
        if _rename(*given) == 0:
            return
        number = ctypes.get_errno()
        if number not in _CANNOT:
            raise OSError(number, os.strerror(number))
    _exchange_by_steps(one, other)


def put_back(target: Path, is_whole: Callable[[Path], bool]) -> None:
    """Where nothing is at `target`, restore the whole folder that a killed save was about to replace. File
    systems without an exchange leave it under a draft's name for a moment."""
    if os.path.lexists(target):
        return
    for draft in abandoned(target):
        if is_whole(draft):
            with suppress(OSError):
                os.rename(draft, target)
            return


def _exchange_by_steps(one: Path, other: Path) -> None:
    """Raises FileNotFoundError where another process came between; then `one` is where it was."""
    aside = one.with_name(f"{one.name[:-16]}{secrets.token_hex(8)}")
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except OSError as error:
        try:
            os.rename(aside, other)
        except OSError:
            raise FileNotFoundError(errno.ENOENT, "another process came first") from error
        raise
    os.rename(aside, one)


def _find() -> Any:
    """glibc's `renameat2`; None where there is none."""
    found = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return found


_rename = _find()
