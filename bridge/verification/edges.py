"""Edge values in place of an ordinary call's numbers: one call per kind of them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import torch

from bridge.compilation import container_types
from bridge.errors import BridgeError
from bridge.planned import Planned
from bridge.verification.draw import PLAIN_INTEGERS, index_bounds, limit
from bridge.verification.trial import Call, copy_tensors
from lowering.ir.tree import unflatten
from lowering.targets.errors import InputError
from runtime.inputs import Binder

# Elements of floating-point inputs, by kind; None keeps the number of the ordinary call.
FLOATS: dict[str, Callable[[torch.finfo], tuple[float | None, ...]]] = {
    "subnormals": lambda f: (
        f.smallest_normal / 2,
        -f.smallest_normal / 4,
        f.smallest_normal * f.eps,
        -f.smallest_normal * f.eps,
    ),
    "NaN": lambda f: (nan, None, None),
    "infinities": lambda f: (inf, None, -inf, None),
    "ties": lambda f: (0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.5),
    "extremes": lambda f: (f.max, f.min, f.smallest_normal, -f.smallest_normal, 0.0, -0.0, None),
}

# The least and the largest integer that would be drawn.
INTEGERS = "integer ends"

KINDS = (*FLOATS, INTEGERS)


def edge_calls(lowered: Planned, call: Call, device: str, seed: int) -> dict[str, Call]:
    """The call with edge values, by kind, for the kinds that one of its tensors can hold.

    Everything else is as in `call`. Raises BridgeError where that does not fit the program.
    """
    program, types = lowered.program, container_types(lowered)
    binder = Binder(program, ("cpu", device), types)
    args, kwargs = copy_tensors(call)
    try:
        bound = binder.bind(args, kwargs)
    except InputError as error:
        raise BridgeError(f"the inputs do not fit the program: {error}") from error
    sizes = {name: size for name, size in bound.symbols.items() if isinstance(size, int)}
    indices = index_bounds(program.graph, {**lowered.example_sizes, **sizes})
    bounds = [indices.get(leaf.spec.name, PLAIN_INTEGERS) for leaf in binder.leaves]
    calls: dict[str, Call] = {}
    for kind in KINDS:
        generator = torch.Generator().manual_seed(seed)
        leaves = [_edge(leaf, kind, b, generator) for leaf, b in zip(bound.leaves, bounds, strict=True)]
        if any(leaf is not None for leaf in leaves):
            filled = [old if new is None else new for old, new in zip(bound.leaves, leaves, strict=True)]
            calls[kind] = unflatten(filled, program.signature.in_spec, types)
    return calls


def _edge(leaf: Any, kind: str, bound: int, generator: torch.Generator) -> torch.Tensor | None:
    """A copy with values of this kind, None where the leaf cannot hold any."""
    if not isinstance(leaf, torch.Tensor) or leaf.layout is not torch.strided or not leaf.numel():
        return None
    if leaf.is_floating_point() or leaf.is_complex():
        return _filled_float(leaf, kind, generator) if kind in FLOATS else None
    if leaf.dtype is torch.bool or kind != INTEGERS:
        return None
    ends = torch.tensor([0, limit(bound, leaf.dtype) - 1])
    return leaf.clone().copy_(ends[_places(leaf, len(ends), generator)])


def _filled_float(leaf: torch.Tensor, kind: str, generator: torch.Generator) -> torch.Tensor | None:
    """Both parts of a complex number get edge values, each its own."""
    filled = leaf.resolve_conj().clone()
    parts = torch.view_as_real(filled) if filled.is_complex() else filled
    values = FLOATS[kind](torch.finfo(parts.dtype))
    table = [value for value in values if value is None or _holds(parts.dtype, value)]
    if not any(value is not None for value in table):
        return None
    places = _places(parts, len(table), generator)
    numbers = torch.tensor([0.0 if value is None else value for value in table], dtype=torch.float64)
    kept = torch.tensor([value is None for value in table])
    parts.copy_(torch.where(kept[places], parts.to("cpu", torch.float64), numbers[places]))
    return filled


def _holds(dtype: torch.dtype, value: float) -> bool:
    """Whether the dtype has this very number: some float8 have no infinity."""
    held = float(torch.tensor(value, dtype=torch.float64).to(dtype))
    return held == value or (held != held and value != value)


def _places(like: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """For each element a place in a table of `count`, in random order; each place as often as any other."""
    return torch.randperm(like.numel(), generator=generator).reshape(like.shape) % count
