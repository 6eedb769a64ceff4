"""DLPack capsules over memory that somebody else keeps alive: letting go of one runs no Python.

An engine may drop its last reference to an argument on one of its own threads, often after the call. The
capsules of numpy and torch then take Python's global lock there. At interpreter exit that ends the process
with "terminate called without an active exception". A capsule made here has a deleter that does nothing; the
importer's handle keeps the memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from ctypes import CDLL, addressof, c_char_p, c_void_p, cast, create_string_buffer, py_object, pythonapi
from functools import lru_cache
from typing import Any, Generic, TypeVar

from lowering.ir.types import DType

_NAME = b"dltensor"
_CPU = 1
_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_MAX_RANK = 64

# A block: room for the sizes, then DLManagedTensor: data, device type and id, rank, code, bits, lanes, sizes,
# strides, byte offset, manager, deleter. Null strides mean row-major. A call writes all up to the pointer to
# the sizes.
_TENSOR = 8 * _MAX_RANK
_REST = struct.Struct("=QQQQ")
_REST_AT = _TENSOR + 32

_new_capsule = pythonapi.PyCapsule_New
_new_capsule.restype = py_object
_new_capsule.argtypes = [c_void_p, c_char_p, c_void_p]

# A C function that has no effect, takes no lock and touches no memory.
_NOTHING = cast(CDLL(None if os.name == "posix" else "ucrtbase").labs, c_void_p).value

# Blocks no import is using. A block is only read while its capsule is imported, but for its deleter.
_free: list[tuple[Any, int]] = []


T = TypeVar("T")
_MAX_VIEWS = 512


class Views(Generic[T]):
    """An engine's views of memory, by address, element type and sizes: making one costs microseconds.

    A view owns nothing, so it is as good for the next tensor that lies there. The user of a view keeps the
    memory.
    """

    def __init__(self) -> None:
        self._views: dict[Any, T] = {}
        self.get = self._views.get

    def add(self, key: Any, view: T) -> T:
        """Keep a view, and give it back."""
        if len(self._views) >= _MAX_VIEWS:
            self._views.clear()
        self._views[key] = view
        return view


def capsule_import(take: Callable[[Any], Any], start: int, dtype: DType, sizes: tuple[int, ...]) -> Any:
    """The result of `take` on a capsule over the row-major tensor at `start`; the caller keeps the memory
    alive.

    float8 is exported as uint8. Raises TypeError for more than 64 dimensions, and the errors of `take`.
    """
    pack, at, code, bits = _layout(dtype, len(sizes))
    try:
        block, base = _free.pop()
    except IndexError:
        block, base = _new_block()
    try:
        pack(block, at, *sizes, start, _CPU, 0, len(sizes), code, bits, 1, base + at)
        return take(_new_capsule(base + _TENSOR, _NAME, None))
    finally:
        _free.append((block, base))


def _new_block() -> tuple[Any, int]:
    """A block that is never freed: an importer may look up the deleter when the interpreter is gone."""
    block = create_string_buffer(_REST_AT + _REST.size)
    _REST.pack_into(block, _REST_AT, 0, 0, 0, _NOTHING)
    pythonapi.Py_IncRef(py_object(block))
    return block, addressof(block)


@lru_cache(maxsize=1024)
def _layout(dtype: DType, rank: int) -> tuple[Callable[..., None], int, int, int]:
    """How to write a tensor of this kind: the writer, where in the block, DLPack's type code and bits."""
    if rank > _MAX_RANK:
        raise TypeError(f"a tensor of {rank} dimensions; {_MAX_RANK} are the most that can be passed")
    return struct.Struct(f"={rank}qQiiiBBHQ").pack_into, _TENSOR - 8 * rank, _code(dtype), 8 * dtype.itemsize


def _code(dtype: DType) -> int:
    if dtype is DType.BOOL:
        return _BOOL
    if dtype is DType.BFLOAT16:
        return _BFLOAT
    if dtype.is_complex:
        return _COMPLEX
    if dtype.is_integer:
        return _INT if dtype.is_signed else _UINT
    return _UINT if dtype.itemsize == 1 else _FLOAT
