from __future__ import annotations

import numpy as np
import pytest
import torch

from lowering.host.tensors import (
    ALIGNMENT,
    address,
    aligned,
    dtype_of,
    empty,
    is_aligned,
    numpy_dtype,
    numpy_to_torch,
    torch_dtype,
    torch_to_numpy,
    writable_alias,
)
from lowering.ir.types import DType

WITH_NUMPY = [dtype for dtype in DType if dtype is not DType.COMPLEX32]


@pytest.mark.parametrize("dtype", WITH_NUMPY)
def test_dtypes_have_three_names_of_one_size(dtype: DType) -> None:
    array = empty(numpy_dtype(dtype), (2, 3))
    assert array.dtype.itemsize == dtype.itemsize == torch_dtype(dtype).itemsize
    assert dtype_of(array) is dtype
    assert dtype_of(torch.empty(1, dtype=torch_dtype(dtype))) is dtype


@pytest.mark.parametrize("dtype", WITH_NUMPY)
@pytest.mark.parametrize("sizes", [(), (0, 3), (2, 3)])
def test_torch_and_numpy_share_memory(dtype: DType, sizes: tuple[int, ...]) -> None:
    array = empty(numpy_dtype(dtype), sizes)
    array.reshape(-1).view(np.uint8)[:] = 1
    tensor = numpy_to_torch(array)
    assert tensor.dtype is torch_dtype(dtype)
    assert tuple(tensor.shape) == sizes
    back = torch_to_numpy(tensor)
    assert back.dtype == array.dtype
    assert back.shape == sizes
    if array.size:
        assert tensor.data_ptr() == address(array) == address(back)


def test_complex32_is_refused() -> None:
    with pytest.raises(TypeError, match="complex32"):
        numpy_dtype(DType.COMPLEX32)
    with pytest.raises(TypeError, match="complex32"):
        torch_to_numpy(torch.zeros(2, dtype=torch.complex32))


@pytest.mark.parametrize("dtype", [">f4", "U3", "M8[s]", object])
def test_foreign_numpy_types_are_refused(dtype: object) -> None:
    with pytest.raises(TypeError, match="element type"):
        dtype_of(np.zeros(2, dtype))


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (3, 5)])
def test_allocation_is_aligned(sizes: tuple[int, ...]) -> None:
    assert address(empty(np.dtype(np.int8), sizes)) % ALIGNMENT == 0


def test_aligned_copies_only_what_it_must() -> None:
    array = empty(np.dtype(np.float32), (4, 6))
    array[...] = np.arange(24).reshape(4, 6)
    assert aligned(array) is array
    shifted = array.reshape(-1)[1:]
    for bad in (array.T, shifted, array[:, ::2]):
        copy = aligned(bad)
        assert is_aligned(copy)
        assert copy.flags.c_contiguous
        np.testing.assert_array_equal(copy, bad)


def test_lazy_conjugate_is_resolved() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj()
    np.testing.assert_array_equal(torch_to_numpy(tensor), [1 - 2j, 3 + 4j])
    np.testing.assert_array_equal(torch_to_numpy(tensor.imag), [-2, 4])


def test_read_only_memory_is_copied_for_torch_and_aliased_for_engines() -> None:
    array = empty(np.dtype(np.float32), (3,))
    array[:] = 1
    array.flags.writeable = False
    numpy_to_torch(array)[0] = 9
    assert array[0] == 1
    alias = writable_alias(array)
    assert alias.flags.writeable
    assert address(alias) == address(array)
    del array
    np.testing.assert_array_equal(alias, [1, 1, 1])
