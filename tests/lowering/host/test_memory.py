"""Where tensors lie: storages, overlaps, strides. Torch and numpy alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowering.host.memory import (
    base,
    memory,
    overlap,
    private_copy,
    same_elements,
    torch_can_view,
    with_strides,
)
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, TensorType

F32 = DType.FLOAT32
X = torch.arange(6.0).reshape(2, 3)


def test_views_of_one_tensor_have_one_base() -> None:
    assert base(X[1:]) == base(X)
    assert base(private_copy(X)) != base(X)
    assert base(torch.eye(2).to_sparse()) != base(X)


def test_the_same_elements_in_the_same_order() -> None:
    assert same_elements(X[:, :2], X.numpy()[:, :2])
    assert not same_elements(X[:, :2], X[:, 1:])
    assert not same_elements(X.view(6), X)
    assert not same_elements(X.view(torch.int16), X.view(torch.int16)[:, ::2])
    sparse = torch.eye(2).to_sparse()
    assert same_elements(sparse, sparse)
    assert not same_elements(sparse, torch.eye(2).to_sparse())


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray])
def test_ranges_of_addresses(kind: type) -> None:
    x = kind(X)
    start, end = memory(x)
    assert end - start == 24
    assert memory(x[:, 1:]) == (start + 4, end)
    assert memory(x[:0]) == (0, 0)
    assert overlap(x[:, 0], x[:, 1])
    assert not overlap(x[0], x[1])


def test_arrays_that_torch_cannot_view() -> None:
    array = np.arange(6, dtype=np.float32)
    assert torch_can_view(array[::2])
    assert not torch_can_view(array[::-1])
    assert not torch_can_view(np.zeros(4, np.dtype({"names": ["a"], "formats": ["f4"], "itemsize": 6}))["a"])


@pytest.mark.parametrize(
    ("sizes", "strides"),
    [((2, 3), (3, 1)), ((2, 3), (1, 2)), ((2, 3), (1, Symbol("s0"))), ((2, 1), (0, 1)), ((0, 3), (1, 7))],
)
def test_a_tensor_gets_the_strides_of_its_type(sizes: tuple[int, ...], strides: tuple[object, ...]) -> None:
    wanted = tuple(2 if isinstance(step, Symbol) else step for step in strides)
    x = torch.ones(sizes)
    if x.numel() == 6:
        x = X.clone()
    made = with_strides(x, TensorType(F32, sizes, strides), {"s0": 2})  # pyright: ignore[reportArgumentType]
    assert torch.equal(made, x)
    assert made.stride() == wanted or 0 in sizes


def test_an_expanded_tensor_shares_its_places() -> None:
    x = torch.ones(2, 1).expand(2, 3).contiguous()
    made = with_strides(x, TensorType(F32, (2, 3), (1, 0)), {})
    assert torch.equal(made, x)
    assert made.stride() == (1, 0)
    assert made.untyped_storage().nbytes() == 8
