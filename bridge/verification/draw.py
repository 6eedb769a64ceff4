"""Inputs drawn for a program: seeded, of the example sizes, within ranges, with indices in bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch

from bridge.api import checked_call
from bridge.compilation import container_types
from bridge.errors import BridgeError, UsageError
from bridge.lowered import Lowered
from lowering.ir.aten import schema
from lowering.ir.program import Graph, InputKind, Node, Program, Ref
from lowering.ir.symbols import UnboundSymbol, evaluate
from lowering.ir.tree import TreeSpecError, unflatten
from lowering.ir.types import DType, SymType, TensorType

# Integers that are no index: small enough for any integer dtype, and for sums of products of them.
PLAIN_INTEGERS = 10

# Which argument holds indices, and how many there are to choose from, given the node's bound arguments.
Bound = Callable[[Mapping[str, Any], Callable[[Any], tuple[int, ...]]], int]


def _rows(name: str) -> Bound:
    return lambda bound, shape: shape(bound[name])[0]


def _axis(bound: Mapping[str, Any], shape: Callable[[Any], tuple[int, ...]]) -> int:
    """The size of the argument's dimension `dim`; all elements where that is None."""
    sizes, dim = shape(bound["self"]), bound.get("dim")
    if dim is None:
        return prod(sizes)
    return sizes[dim] if sizes else 1


def _classes(bound: Mapping[str, Any], shape: Callable[[Any], tuple[int, ...]]) -> int:
    """Losses take scores of sizes (classes,) or (batch, classes, ...)."""
    sizes = shape(bound["self"])
    return sizes[min(1, len(sizes) - 1)]


def _given_classes(bound: Mapping[str, Any], shape: Callable[[Any], tuple[int, ...]]) -> int:
    classes = bound["num_classes"]
    return classes if isinstance(classes, int) and classes > 0 else PLAIN_INTEGERS


INDEX_ARGUMENTS: dict[str, tuple[str, Bound]] = {
    "aten.embedding": ("indices", _rows("weight")),
    "aten.embedding_bag": ("indices", _rows("weight")),
    "aten.index_select": ("index", _axis),
    "aten.gather": ("index", _axis),
    "aten.index_copy": ("index", _axis),
    "aten.index_add": ("index", _axis),
    "aten.index_fill": ("index", _axis),
    "aten.scatter": ("index", _axis),
    "aten.scatter_add": ("index", _axis),
    "aten.scatter_reduce": ("index", _axis),
    "aten.index_reduce": ("index", _axis),
    "aten.take_along_dim": ("indices", _axis),
    "aten.take": ("index", _axis),
    "aten.put": ("index", _axis),
    "aten.one_hot": ("self", _given_classes),
    "aten.nll_loss": ("target", _classes),
    "aten.nll_loss_nd": ("target", _classes),
    "aten.cross_entropy_loss": ("target", _classes),
}

# Operators that take one index for each of the leading axes.
INDEXED = frozenset({"aten.index", "aten.index_put", "aten._unsafe_index", "aten._unsafe_index_put"})

# Operators whose result holds the same numbers as their first argument.
CARRIERS = frozenset(
    """
    aten.view aten.reshape aten.flatten aten.unsqueeze aten.squeeze aten.expand aten.clone aten.contiguous
    aten.to aten._to_copy aten.slice aten.select aten.transpose aten.permute aten.alias aten.detach
    aten.lift_fresh_copy aten.type_as aten.t aten._unsafe_view aten.view_as aten.expand_as aten.broadcast_to
    aten.repeat aten.flip aten.roll
    """.split()
)


def example_call(
    lowered: Lowered,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments given, or else drawn ones. Raises BridgeError where they cannot be."""
    if args is None and kwargs is None:
        leaves = draw_inputs(lowered.program, lowered.example_sizes, seed)
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

    def shape(arg: Any) -> tuple[int, ...]:
        type_ = graph.values[arg.name]
        assert isinstance(type_, TensorType)
        return tuple(size if isinstance(size, int) else int(evaluate(size, sizes)) for size in type_.sizes)

    def note(arg: Any, bound: int) -> None:
        if isinstance(arg, Ref):
            name = source.get(arg.name, arg.name)
            bounds[name] = min(bound, bounds.get(name, bound))

    for node in graph.nodes:
        found = schema(node.target)
        if found is None:
            continue
        family = _family(node)
        bound = found.bind(node.args)
        try:
            if family in CARRIERS:
                _carry(node, source)
            elif family in INDEX_ARGUMENTS:
                argument, limit = INDEX_ARGUMENTS[family]
                note(bound[argument], limit(bound, shape))
            elif family in INDEXED:
                for index, size in _indexed(bound, shape, graph):
                    note(index, size)
        except UnboundSymbol:
            continue  # how many there are to choose from is known only once the data is
    return bounds


def _indexed(
    bound: Mapping[str, Any], shape: Callable[[Any], tuple[int, ...]], graph: Graph
) -> Iterator[tuple[Any, int]]:
    """The indices of `x[i, :, j]`, each with the size of its axis; a mask covers as many as it has itself."""
    sizes, axis = shape(bound["self"]), 0
    for index in bound["indices"]:
        type_ = graph.values[index.name] if isinstance(index, Ref) else None
        if isinstance(type_, TensorType) and type_.dtype is DType.BOOL:
            axis += type_.rank
            continue
        yield index, sizes[axis]
        axis += 1


def _family(node: Node) -> str:
    """`aten.index_copy_.default` -> `aten.index_copy`."""
    return node.target.rpartition(".")[0].rstrip("_")


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
