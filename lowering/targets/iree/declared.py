"""Buffer views of IREE: their types, as a module says them and as IREE does, and where they lie."""

from __future__ import annotations

from ctypes import POINTER, c_char_p, c_uint64, py_object, pythonapi
from math import prod
from typing import NamedTuple

import numpy as np
from iree import runtime as rt
from iree.runtime.dtypes import map_dtype_to_hal_element_type

from lowering.host.tensors import dtype_of, numpy_dtype, raw_dtype
from lowering.ir.module import Port
from lowering.ir.types import DType

FLOAT8 = frozenset(dtype for dtype in DType if dtype.value.startswith("float8"))
"""The types that IREE's DLPack does not know."""

# The bits of IREE's element types that tell signed and unsigned numbers apart.
_SIGN = 0x03000000

_capsule_pointer = pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = POINTER(c_uint64)
_capsule_pointer.argtypes = [py_object, c_char_p]


class Declared(NamedTuple):
    """The type of a result, as a module says it and as a buffer view of IREE says it.

    `elements`: an integer may come as one without a sign.
    """

    dtype: DType
    sizes: tuple[int, ...]
    nbytes: int
    shape: list[int]
    elements: tuple[int, ...]
    is_float8: bool

    @classmethod
    def of(cls, port: Port) -> Declared:
        element = map_dtype_to_hal_element_type(numpy_dtype(port.dtype))
        assert element is not None, "IREE has an element type for each of ours"
        element = int(element)  # pyright: ignore[reportArgumentType] - an enumeration that converts
        elements = (element, element & ~_SIGN) if port.dtype.is_integer else (element,)
        nbytes = prod(port.sizes) * port.dtype.itemsize
        return cls(port.dtype, port.sizes, nbytes, list(port.sizes), elements, port.dtype in FLOAT8)


def view_address(device: rt.HalDevice, view: rt.HalBufferView, is_float8: bool) -> int:
    """Where a host buffer lies: the first field of its DLPack description, which knows no float8."""
    if is_float8:
        view = rt.HalBufferView(view.get_buffer(), [view.byte_length], rt.HalElementType.UINT_8)
    capsule = device.create_dlpack_capsule(view, 1, 0)
    return _capsule_pointer(capsule, b"dltensor")[0]


def allocated(array: np.ndarray, device: rt.HalDevice, kind: int) -> rt.HalBufferView:
    """A copy of an array in memory of a device."""
    view = device.allocator.allocate_buffer_copy(
        memory_type=kind,
        allowed_usage=rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
        device=device,
        buffer=array.view(raw_dtype(dtype_of(array))),
        element_type=map_dtype_to_hal_element_type(array.dtype),
    )
    assert isinstance(view, rt.HalBufferView), "a copy with an element type is a view"
    return view
