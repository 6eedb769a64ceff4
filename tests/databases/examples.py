"""The examples of `torch._export.db`, with its own dynamic shapes, and arguments drawn anew."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch.utils import _pytree as pytree

from tests.databases.judge import Arguments, Case

# What the integers among the arguments of an example may be; the others stay as they are.
_INTEGERS = {"constrain_as_size_example": (0, 5), "constrain_as_value_example": (0, 5), "dictionary": (-9, 9)}
# Sizes of a dynamic dimension, the least first; the third is of the example itself.
_SIZES = (0, 1, 3, 8)
_REPEATS = 3


@cache
def _database() -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch._export.db.examples import all_examples
    return all_examples()


def names(supported: bool = True) -> list[str]:
    """The examples that torch says export supports, or those that it says it does not."""
    found = _database().items()
    return sorted(name for name, example in found if (example.support_level.name == "SUPPORTED") == supported)


def cases(name: str) -> list[Case]:
    """The one case of an example: three calls, at each of its sizes where it has dynamic ones."""
    example = _database()[name]
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    shapes = example.dynamic_shapes
    sizes = _SIZES if shapes else (None,)
    calls = [
        _drawn(name, example, _resized(example, size), generator) for size in sizes for _ in range(_REPEATS)
    ]
    given = Arguments(example.example_args, example.example_kwargs)
    return [Case(f"{name}/export/0", lambda: copy.deepcopy(example.model), given, tuple(calls), shapes)]


def _resized(example: Any, size: int | None) -> Arguments:
    """The example's arguments with every dynamic dimension of this size."""
    if size is None:
        return Arguments(example.example_args, example.example_kwargs)
    parameters = list(inspect.signature(example.model.forward).parameters)
    args = list(example.example_args)
    for position, name in enumerate(parameters[: len(args)]):
        sizes = [
            size if axis in (example.dynamic_shapes[name] or {}) else own
            for axis, own in enumerate(args[position].shape)
        ]
        args[position] = args[position].new_empty(sizes)
    return Arguments(tuple(args), example.example_kwargs)


def _drawn(name: str, example: Any, call: Arguments, generator: torch.Generator) -> Arguments:
    def draw(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if leaf.dtype.is_floating_point:
            return torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        if leaf.dtype is torch.bool:
            return torch.randint(2, leaf.shape, generator=generator).bool()
        if name not in _INTEGERS:
            return leaf
        low, high = _INTEGERS[name]
        return torch.randint(low, high + 1, leaf.shape, generator=generator, dtype=leaf.dtype)

    return Arguments(*pytree.tree_map(draw, (call.args, call.kwargs)))
