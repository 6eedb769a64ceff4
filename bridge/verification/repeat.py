"""Whether calls that are given the same give the same, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bridge.verification.compare import Difference, compare
from bridge.verification.tolerances import Rounding
from lowering.ir.facts.indices import may_sum_in_any_order
from lowering.ir.program import Graph, Node, all_graphs, graphs_of
from lowering.ir.types import DType, TensorType
from lowering.targets.aten.operators import given

# How many calls that differ are described.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """One call as its caller sees it: the structure of the result; values and buffers by name."""

    structure: Any
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How calls compare with the first one that was given the same.

    `calls`: how many were made, the first included. `different`: how many differ. `differences`: the
    differences of the first of those. `any_order`: nodes that sum in another order each time; then values are
    compared within tolerance.
    """

    calls: int
    different: int = 0
    differences: tuple[Difference, ...] = ()
    any_order: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.different


def repeat(
    observe: Callable[[bool, int], Seen],
    first: Sequence[Seen],
    calls: int,
    rounding: Rounding,
    any_order: Collection[str] = (),
) -> Repeats:
    """Call until there were `calls`; compare each with the first call that was given the same.

    `observe(others, place)` makes the call of that place in a row and gives its results; 0 begins a row anew.
    `others`: give it other numbers. After the second row, every other row gets other numbers: data left in
    memory then differs from a result. An error of the first such row ends this. `first`: the results of the
    calls of the first row.
    """
    rows: dict[bool, list[tuple[int, Seen]]] = {False: list(enumerate(first)), True: []}
    different, number, mixed = 0, len(first), True
    differences: list[Difference] = []
    while number < calls:
        others = mixed and number // len(first) % 2 == 0
        for place in range(len(first)):
            try:
                got = observe(others, place)
            except Exception:
                if not others or len(rows[True]) == len(first):
                    raise
                # Other numbers may be refused, by an assertion say.
                mixed = False
                break
            if place == len(rows[others]):
                rows[others].append((number, got))
            like, want = rows[others][place]
            names = f"call {number + 1}: ", f"call {like + 1} gave"
            found = list(_differences(got, want, rounding if any_order else None, *names))
            different += bool(found)
            differences += found if different <= _MOST else []
            number += 1
    return Repeats(number, different, tuple(differences), tuple(any_order))


def _differences(
    got: Seen, want: Seen, rounding: Rounding | None, prefix: str, reference: str
) -> Iterator[Difference]:
    """The differences. `rounding`: of the program, for comparing within tolerance; None: bit for bit."""
    if got.structure != want.structure:
        problem = f"is {got.structure}, {reference} {want.structure}"
        yield Difference(f"{prefix}the result's structure", float("inf"), problem)
    for name in sorted(want.values.keys() | got.values.keys()):
        if name not in got.values or name not in want.values:
            yield Difference(prefix + name, float("inf"), "is there in one of the two calls only")
            continue
        one, other = got.values[name], want.values[name]
        if same_bits(one, other):
            continue
        # Exact comparison words the difference; where it sees none (a NaN's other bits) it is still one.
        difference = compare(prefix + name, one, other, rounding or Rounding.EXACT, reference)
        if difference.problem:
            yield difference
        elif rounding is None:
            problem = "has other strides, or other bits of a NaN or a zero"
            yield Difference(prefix + name, difference.error, problem)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two values are the same: type, dtype, sizes, strides and every bit."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other) and bool(one == other or (one != one and other != other))
    if one.layout is not torch.strided:
        one, other = one.to_dense(), other.to_dense()
    kind = (one.dtype, one.shape, one.stride(), one.device)
    if kind != (other.dtype, other.shape, other.stride(), other.device):
        return False
    return torch.equal(_bits(one), _bits(other))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's elements as bytes."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def any_order(graph: Graph, nodes: Collection[str]) -> tuple[str, ...]:
    """The nodes among these, all on ATen, that sum in another order each time, as `name (operator)`."""
    return tuple(
        f"{node.name} ({node.target})"
        for node in graph.nodes
        if node.name in nodes and _any_sums(graph, node)
    )


def _any_sums(graph: Graph, node: Node) -> bool:
    """Whether the node, or one in a graph that it holds, sums in any order."""
    held = (inner for nested in graphs_of(node) for inner in all_graphs(nested))
    within = ((inner, each) for inner in held for each in inner.nodes)
    return _sums_in_any_order(graph, node) or any(_sums_in_any_order(*pair) for pair in within)


def _sums_in_any_order(graph: Graph, node: Node) -> bool:
    if not may_sum_in_any_order(node.target):
        return False
    arguments = given(node)
    asked, summed = arguments.get("accumulate"), arguments.get("self")
    type_ = graph.values.get(getattr(summed, "name", ""))
    return bool(asked) and isinstance(type_, TensorType) and type_.dtype is DType.FLOAT32
