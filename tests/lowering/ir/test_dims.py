"""Sizes and strides as torch decides them, and symbolic ones as far as they are provable."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lowering.ir.dims import clone_strides, equal, is_row_major, product, row_major, view_strides
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, TensorType

S, T = Symbol("s0"), Symbol("s1")


@st.composite
def tensors(draw):
    """A tensor that is some view of a dense one."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4))
    tensor = torch.zeros(sizes)
    tensor = tensor.permute(draw(st.permutations(range(len(sizes)))))
    for axis in range(tensor.dim()):
        step = draw(st.sampled_from([1, 1, 1, 2]))
        index = [slice(None)] * tensor.dim()
        index[axis] = slice(draw(st.sampled_from([0, 0, 1])) if tensor.shape[axis] > 1 else 0, None, step)
        tensor = tensor[tuple(index)]
    if draw(st.booleans()):
        tensor = tensor.expand(2, *tensor.shape)
    return tensor


def type_of(tensor):
    return TensorType(DType.FLOAT32, tuple(tensor.shape), tensor.stride(), tensor.storage_offset())


def factorings(count):
    pairs = [(a, count // a) for a in range(1, count + 1) if count % a == 0]
    return [(count,), (1, count), (count, 1), *pairs, *((a, 1, b) for a, b in pairs)]


@given(tensors(), st.data())
def test_view_strides_are_those_of_reshape(tensor, data):
    sizes = data.draw(st.sampled_from(factorings(tensor.numel())))
    try:
        expected = tensor.view(sizes).stride()
    except RuntimeError:
        expected = False
    found = view_strides(type_of(tensor), sizes)
    if expected is False:
        assert found is False
        assert tensor.reshape(sizes).untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
    else:
        assert found is not False
        assert torch.empty(0).set_(tensor.untyped_storage(), 0, sizes, found).is_contiguous() == (
            tensor.view(sizes).is_contiguous()
        )


@given(tensors())
def test_contiguity_and_clones(tensor):
    assert is_row_major(type_of(tensor)) is tensor.is_contiguous()
    counted = [axis for axis, size in enumerate(tensor.shape) if size != 1]
    ours, theirs = clone_strides(type_of(tensor)), tensor.clone().stride()
    assert [ours[axis] for axis in counted] == [theirs[axis] for axis in counted]


def test_symbolic_sizes():
    twice = Apply("Mul", (2, S))
    assert equal(Apply("Add", (S, S)), twice) is True
    assert equal(Apply("Mul", (S, Apply("Add", (T, 1)))), Apply("Add", (S, Apply("Mul", (T, S))))) is True
    assert equal(Apply("Add", (S, 1)), S) is False
    assert equal(S, T) is None
    assert product((S, 2, S)) == product((Apply("Mul", (2, S)), S))
    assert product(()) == 1
    assert row_major((S, T, 4)) == (product((T, 4)), 4, 1)
    dense = TensorType(DType.FLOAT32, (S, T), (T, 1))
    assert is_row_major(dense) is True
    assert view_strides(dense, (product((S, T)),)) == (1,)
    assert is_row_major(TensorType(DType.FLOAT32, (S, T), (1, S))) is None
    assert view_strides(TensorType(DType.FLOAT32, (S, T), (1, S)), (product((S, T)),)) is None
    assert clone_strides(TensorType(DType.FLOAT32, (S, T), (1, S))) == (1, S)
