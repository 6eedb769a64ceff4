"""Whose machine code an artifact holds: compiled binaries are signed with a key of this user's.

A binary is run as it is, so an artifact from a stranger could do anything. A binary of this user and machine
carries a code (HMAC-SHA-256) that only the holder of the key can make. All other binaries are set aside and
compiled anew, unless the user trusts them.

The key is 32 random bytes in `$XDG_DATA_HOME/bridge/key` (`~/.local/share/bridge/key`), readable by its owner
alone, made when it is first needed. Where none can be kept, nothing is signed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lowering.host.drafts import draft_file

_KEY_BYTES = 32


def sign(digests: Mapping[str, str]) -> str:
    """The code of these files, given their digests by name; empty where no key can be kept."""
    key = _read_key() or _make_key()
    return _code(key, digests) if key else ""


def is_ours(digests: Mapping[str, str], signature: object) -> bool:
    """Whether this user signed exactly these files."""
    key = _read_key()
    if key is None or not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(_code(key, digests), signature)


def _code(key: bytes, digests: Mapping[str, str]) -> str:
    return hmac.new(key, json.dumps(sorted(digests.items())).encode(), hashlib.sha256).hexdigest()


def _key_file() -> Path | None:
    base = os.environ.get("XDG_DATA_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "share") / "bridge" / "key"
    except RuntimeError:  # no home
        return None


def _read_key() -> bytes | None:
    """The key, if there is one that nobody else can read."""
    path = _key_file()
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            private = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
            key = stream.read(_KEY_BYTES + 1)
    except OSError:
        return None
    return key if private and len(key) == _KEY_BYTES else None


def _make_key() -> bytes | None:
    """Write a new key, unless another process was faster; then that one's."""
    path = _key_file()
    if path is None:
        return None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft_file(path, 0o600) as (draft, stream):
            stream.write(secrets.token_bytes(_KEY_BYTES))
            stream.flush()
            with suppress(FileExistsError):
                os.link(draft, path)  # fails where a key is; a rename would replace it
    except OSError:
        return None
    return _read_key()
