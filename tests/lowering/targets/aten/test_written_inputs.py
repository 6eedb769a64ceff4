"""Tensors that the caller passes and the program writes: on ATen where they lie, and still as eager does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import bridge

ROWS, WIDTH = 6, 4
ROW = torch.full((1, WIDTH), -1.0)


class Step(torch.nn.Module):
    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body

    def forward(self, cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
        return self.body(cache, row, at)


def rows() -> torch.Tensor:
    return torch.arange(ROWS * WIDTH, dtype=torch.float32).reshape(ROWS, WIDTH)


def copied(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
    cache.index_copy_(0, at, row)
    return cache.sum(0)


def twice(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
    cache.index_copy_(0, at, row)
    cache[:, :2] *= 2
    return cache[1:3], cache


def read_before(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
    old = cache[0] + 1
    cache.index_copy_(0, at, row + cache.mean(0))
    return old, cache.view(-1) * 2


def old_returned(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
    old = cache.clone()
    cache.index_copy_(0, at, row)
    cache.index_copy_(0, (at * 9) % 5, row)
    return old


def compiled(body: Callable[..., Any]) -> Any:
    example = (rows(), ROW, torch.tensor([0]))
    return bridge.lower(torch.export.export(Step(body), example)).compile("aten")


def others(tensor: torch.Tensor) -> dict[str, Any]:
    """The same elements as callers may have them: in other strides, at a place within others, in numpy."""
    inside = torch.zeros(ROWS + 2, WIDTH + 3)
    inside[1:-1, 2:-1] = tensor
    return {
        "plain": tensor.clone(),
        "transposed": tensor.t().contiguous().t(),
        "inside": inside[1:-1, 2:-1],
        "array": tensor.numpy().copy(),
        "reversed": tensor.numpy()[::-1].copy()[::-1],
        "leaf": tensor.clone().requires_grad_(),
    }


def _array(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.ascontiguousarray(value)


@pytest.mark.parametrize("kind", others(rows()))
@pytest.mark.parametrize("body", [copied, twice, read_before, old_returned], ids=lambda body: body.__name__)
def test_it_is_written_as_in_eager(body: Callable[..., Any], kind: str) -> None:
    call = compiled(body)
    for at in (3, 0):
        given, eager = others(rows())[kind], rows()
        places: tuple[Any, ...] = (ROW, torch.tensor([at]))
        if isinstance(given, np.ndarray):
            places = tuple(place.numpy() for place in places)
        with torch.no_grad():
            results = call(given, *places)
        wanted = Step(body)(eager, ROW, torch.tensor([at]))
        torch.testing.assert_close(torch.as_tensor(_array(given)), eager)
        for one, other in zip(tree_leaves(results), tree_leaves(wanted), strict=True):
            torch.testing.assert_close(torch.as_tensor(_array(one)), other)


class Calls(TorchDispatchMode):
    """The operators that give or write a tensor of these sizes."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and tuple(result.shape) == self.sizes:
            self.names.append(func._schema.name)
        return result


def test_it_is_not_copied() -> None:
    call, given = compiled(copied), rows()
    with Calls(ROWS, WIDTH) as calls:
        call(given, ROW, torch.tensor([2]))
    assert [name for name in calls.names if name != "aten::detach"] == ["aten::index_copy_"]


def test_a_call_that_fails_changes_nothing() -> None:
    def fails(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> Any:
        cache.index_copy_(0, at, row)
        cache.index_copy_(0, at * 2, row)
        return cache.sum()

    call, given = compiled(fails), rows()
    with pytest.raises(IndexError):
        call(given, ROW, torch.tensor([4]))
    torch.testing.assert_close(given, rows(), rtol=0, atol=0)
