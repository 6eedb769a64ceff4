"""Weights as IREE takes them: by name, where they lie."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowering.host.tensors import address, aligned
from lowering.ir.errors import EngineError

# The objects that IREE was given and may still hold, by address. Under the lock: an address whose
# object another thread has let go of meanwhile may be that of the next one, which IREE alone would then hold.
_lent: dict[int, Any] = {}
_lock = threading.Lock()


def bound(name: str, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weight of that name, aligned. Raises EngineError where it was not given."""
    if name not in weights:
        raise EngineError(f"iree: the weight {name!r} was not given")
    return aligned(weights[name])


def lend(array: np.ndarray) -> Any:
    """The array's bytes, for IREE, which does not keep the array alive by them: the lender does.

    IREE 3.13 lets go of a buffer on whichever of its threads used it last, and does not take Python's lock
    there. An array freed so is freed beside whatever Python is doing: a torch tensor's destructor took the
    current thread from the interpreter, which crashed once in fifty runs. So IREE never has the last
    reference to what is lent; the next weight to be lent finds what it has let go of.
    """
    lent = (ctypes.c_char * max(array.nbytes, 1)).from_address(address(array))
    with _lock:
        for at in [at for at in _lent if _references(at) == 1]:
            del _lent[at]
        _lent[id(lent)] = lent
    return lent


def _references(at: int) -> int:
    """CPython's count of references to the object at that address, without taking one more.

    `sys.getrefcount` takes one, and another thread may be changing the count without the lock.
    """
    return ctypes.c_uint32.from_address(at).value
