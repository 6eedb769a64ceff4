"""Calls that are right but for one thing: an index past an end, a size, no elements, whole numbers.

`hostile` changes anything to anything, and most of its calls are refused by the first check that an operator
has. These come to the checks behind it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import torch

from lowering.ir.aten import OpSchema
from tests.fuzz.calls import Call
from tests.fuzz.hostile import Arguments, copied, draw, results

_WHOLE = (torch.int64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_FAR = (-1, 0, 1 << 31, 1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63))


def edge(schema: OpSchema, calls: Sequence[Call], seed: str) -> Arguments:
    """Arguments by name, the same for the same seed. Of an operator without a call, those of `draw`."""
    rng = random.Random(f"edge {seed}")
    if not calls:
        return draw(schema, calls, seed)
    args, kwargs = rng.choice(calls)
    names = [parameter.name for parameter in schema.parameters]
    given = {**dict(zip(names, copied(args), strict=False)), **copied(kwargs)}
    given |= results(schema, given, rng)
    change = rng.choice((_indices, _indices, _one_size, _no_size, _whole_numbers, _number))
    return change(given, rng)


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    return [_mapped(item, change) for item in value] if isinstance(value, list) else value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _near(given: Arguments, rng: random.Random) -> int:
    """A number at the edge of a size of some tensor, or of the product of its last ones."""
    sizes = [n for tensor in _tensors(given) for n in (*tensor.shape, prod(tensor.shape[-2:]))]
    if rng.random() < 0.3 or not sizes:
        return rng.choice(_FAR)
    return rng.choice((1, 1, -1)) * rng.choice(sizes) + rng.choice((-1, 0, 0, 1))


def _indices(given: Arguments, rng: random.Random) -> Arguments:
    """A few elements of whole numbers are at the edge of a size."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype not in (torch.int64, torch.int32) or not tensor.numel() or tensor.dim() > 6:
            return tensor
        changed = tensor.contiguous().clone()
        most = torch.iinfo(tensor.dtype)
        for _ in range(rng.choice((1, 1, 2, tensor.numel()))):
            value = min(max(_near(given, rng), most.min), most.max)
            changed.view(-1)[rng.randrange(tensor.numel())] = value
        return changed

    return {name: _mapped(value, change) for name, value in given.items()}


def _one_size(given: Arguments, rng: random.Random) -> Arguments:
    """One axis of one argument has another size."""
    names = [name for name, value in given.items() if any(x.dim() for x in _tensors(value))]
    if not names:
        return _number(given, rng)
    chosen = rng.choice(names)

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.dim():
            return tensor
        axis = rng.randrange(tensor.dim())
        size = tensor.shape[axis]
        return _resized(tensor, axis, rng.choice((0, 1, max(size - 1, 0), size + 1, 2 * size)))

    return {**given, chosen: _mapped(given[chosen], change)}


def _resized(tensor: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Rows of a tensor, repeated as needed."""
    places = torch.arange(size) % max(tensor.shape[axis], 1)
    if tensor.shape[axis]:
        return tensor.index_select(axis, places)
    return tensor.new_zeros((*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))


def _no_size(given: Arguments, rng: random.Random) -> Arguments:
    """All axes of one size have no size: no batch, no channel, no row."""
    sizes = sorted({n for tensor in _tensors(given) for n in tensor.shape})
    if not sizes:
        return _number(given, rng)
    gone = rng.choice(sizes)

    def change(tensor: torch.Tensor) -> torch.Tensor:
        shape = [0 if n == gone and rng.random() < 0.9 else n for n in tensor.shape]
        return tensor if shape == list(tensor.shape) else tensor.new_zeros(shape)

    return {name: _mapped(value, change) for name, value in given.items()}


def _whole_numbers(given: Arguments, rng: random.Random) -> Arguments:
    """All tensors of floating point are of whole numbers, zeros and extremes among them."""
    dtype = rng.choice(_WHOLE)
    info = torch.iinfo(dtype)
    kinds = rng.choice(((0, 1, 2, 3), (0, -1 if info.min else 1, info.min, info.max), (0,)))

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor
        flat = [rng.choice(kinds) for _ in range(tensor.numel())]
        return torch.tensor(flat, dtype=dtype).reshape(tensor.shape)

    return {name: _mapped(value, change) for name, value in given.items()}


def _number(given: Arguments, rng: random.Random) -> Arguments:
    """One number, or one of a list, is at the edge of a size."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    names = [
        name
        for name, value in given.items()
        if is_number(value) or (isinstance(value, list) and value and all(map(is_number, value)))
    ]
    if not names:
        return _indices(given, rng)
    chosen = rng.choice(names)
    value = given[chosen]
    new: Any = rng.choice((0.5, 0.0, -1.0, 1e-30, float("nan"), float("inf"))) if rng.random() < 0.2 else None
    if isinstance(value, list):
        place = rng.randrange(len(value))
        new = _near(given, rng) if new is None or isinstance(value[place], int) else new
        return {**given, chosen: [*value[:place], new, *value[place + 1 :]]}
    if new is None or isinstance(value, int):
        new = _near(given, rng)
    return {**given, chosen: new}
