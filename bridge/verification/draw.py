"""Inputs drawn for a program: seeded, of the example sizes, within ranges, with indices in bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bridge.compilation import container_types
from bridge.errors import BridgeError, UsageError
from bridge.planned import Planned
from bridge.sources import checked_call
from lowering.ir.aten import schema
from lowering.ir.facts.indices import index_limits
from lowering.ir.facts.views import carries
from lowering.ir.program import Arg, Graph, InputKind, Node, Program, Ref
from lowering.ir.symbols import UnboundSymbol, evaluate
from lowering.ir.tree import TreeSpecError, unflatten
from lowering.ir.types import SymType, TensorType

# Integers that are not an index: small enough for any integer dtype, and for sums of products of them.
PLAIN_INTEGERS = 10


def example_call(
    lowered: Planned,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments given, or else drawn ones, of the example sizes if no others are given.

    Raises BridgeError where they cannot be.
    """
    if args is None and kwargs is None:
        leaves = draw_inputs(lowered.program, sizes or lowered.example_sizes, seed)
        try:
            args, kwargs = unflatten(leaves, lowered.program.signature.in_spec, container_types(lowered))
        except TreeSpecError as error:
            raise BridgeError(f"inputs cannot be drawn: {error}") from error
    return checked_call(args, kwargs)


def draw_inputs(program: Program, sizes: Mapping[str, int], seed: int = 0) -> list[Any]:
    """One leaf per user input, in order: tensors on the CPU, Python scalars for symbolic ones, literals.

    Floating-point values are standard normal, bools even, integers below the bound their use as an index
    sets, else below 10.
    """
    generator = torch.Generator().manual_seed(seed)
    bounds = index_bounds(program.graph, sizes)
    leaves: list[Any] = []
    for spec in program.signature.inputs:
        if spec.kind is InputKind.LITERAL:
            leaves.append(spec.literal)
        elif spec.kind is InputKind.USER:
            type_ = program.graph.values[spec.name]
            if isinstance(type_, TensorType):
                bound = bounds.get(spec.name, PLAIN_INTEGERS)
                try:
                    leaves.append(_draw(type_, sizes, bound, generator))
                except RuntimeError as error:  # torch's, of too many bytes
                    reason = str(error).partition("\n")[0]
                    raise UsageError(f"input {spec.name!r} cannot be drawn: {reason}") from error
            elif isinstance(type_, SymType):
                value = type_.value
                leaves.append(value if isinstance(value, bool | int | float) else evaluate(value, sizes))
            else:
                raise UsageError(f"input {spec.name!r} cannot be drawn: it is an object; give inputs")
    return leaves


def index_bounds(graph: Graph, sizes: Mapping[str, int]) -> dict[str, int]:
    """For each value used as an index, directly or through views and copies, the least bound of its uses."""
    source: dict[str, str] = {}
    bounds: dict[str, int] = {}

    def type_of(arg: Arg) -> TensorType | None:
        type_ = graph.values[arg.name] if isinstance(arg, Ref) else None
        return type_ if isinstance(type_, TensorType) else None

    def shape(arg: Arg) -> tuple[int, ...]:
        type_ = type_of(arg)
        assert type_ is not None
        return tuple(size if isinstance(size, int) else int(evaluate(size, sizes)) for size in type_.sizes)

    def note(arg: Arg, bound: int) -> None:
        if isinstance(arg, Ref):
            name = source.get(arg.name, arg.name)
            bounds[name] = min(bound, bounds.get(name, bound))

    for node in graph.nodes:
        found = schema(node.target)
        if found is None:
            continue
        if carries(node.target):
            _carry(node, source)
        try:
            for index, limit in index_limits(node.target, found.bind(node.args), type_of, shape):
                note(index, PLAIN_INTEGERS if limit is None else limit)
        except UnboundSymbol:
            continue  # how many there are to choose from is known only once the data is
    return bounds


def _carry(node: Node, source: dict[str, str]) -> None:
    first = node.args[0].value
    if isinstance(first, Ref):
        for result in node.results():
            source[result] = source.get(first.name, first.name)


def _draw(
    type_: TensorType, sizes: Mapping[str, int], bound: int, generator: torch.Generator
) -> torch.Tensor:
    shape = [size if isinstance(size, int) else int(evaluate(size, sizes)) for size in type_.sizes]
    dtype = getattr(torch, type_.dtype.value)
    if type_.dtype.is_floating:
        return torch.randn(shape, generator=generator).to(dtype)
    if type_.dtype.is_complex:
        return torch.randn(shape, generator=generator, dtype=torch.complex64).to(dtype)
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    return torch.randint(0, limit(bound, dtype), shape, generator=generator).to(dtype)


def limit(bound: int, dtype: torch.dtype) -> int:
    """The bound below which integers are drawn for an input of this dtype."""
    return max(min(bound, torch.iinfo(dtype).max), 1)
