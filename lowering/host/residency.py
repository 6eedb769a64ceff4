"""Memory that is needed no more, given back: pages of mapped files, and what a compiler has freed."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from lowering.host.tensors import address

_FORGET = getattr(mmap, "MADV_DONTNEED", None)


def forget_pages(arrays: Iterable[np.ndarray]) -> None:
    """Let go of the pages that arrays of mapped files lie in; whoever reads them again has them again.

    An engine that packs its weights reads a file once, and would keep it in memory beside what it packed.
    Only mappings that nothing can write to are touched: there the file has all bytes. Elsewhere, and on
    systems that take no such advice, this does nothing.
    """
    if _FORGET is None:
        return
    for array in arrays:
        found = _mapping(array) if array.nbytes else None
        if found is None:
            continue
        mapping, start = found
        first = (address(array) - start) // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.madvise(_FORGET, first, address(array) + array.nbytes - start - first)


def give_back_freed() -> None:
    """Give memory that was allocated and freed back to the system, where the C library can (glibc).

    A compiler in this process leaves hundreds of megabytes so.
    """
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def _mapping(array: Any) -> tuple[mmap.mmap, int] | None:
    """The read-only mapping that an array's elements lie in, and the address at which it starts."""
    while array is not None:
        if isinstance(array, memoryview):
            array = array.obj
        elif isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            start = address(np.frombuffer(array.base, np.uint8))
            return (array.base, start) if array.mode == "r" else None
        else:
            array = getattr(array, "base", None)
    return None
