"""The bytes of a call's values that are alive at a time."""

from __future__ import annotations

import torch

from lowering.frontend.exported_program import from_exported_program
from lowering.ir.liveness import Work, bytes_of, peak, results, works
from lowering.ir.program import Graph, Ref
from lowering.ir.types import DType
from tests.runtime.fakes import N, node, tensor

F = tensor(10)
TYPES = dict.fromkeys(("x", "a", "b", "c", "v", "y"), F)


def graph(*nodes: object, output: str = "y") -> Graph:
    return Graph((Ref("x"),), (Ref(output),), nodes, TYPES)  # pyright: ignore[reportArgumentType]


def peak_of(made: Graph) -> int:
    return peak(made, list(works(made.nodes, made, {})), {})


def test_sizes_of_values() -> None:
    assert bytes_of(tensor(2, 3, dtype=DType.INT64), {}) == 48
    assert bytes_of(tensor(N, 3), {"s0": 5}) == 60
    assert bytes_of(tensor(N, 3), {}) == 0
    assert bytes_of(None, {}) == 0


def test_a_value_dies_with_its_last_reader() -> None:
    chain = graph(
        node("aten.relu.default", "a", "%x"),
        node("aten.relu.default", "b", "%a"),
        node("aten.relu.default", "c", "%b"),
        node("aten.relu.default", "y", "%c"),
    )
    assert peak_of(chain) == 80
    later = graph(
        node("aten.relu.default", "a", "%x"),
        node("aten.relu.default", "b", "%a"),
        node("aten.relu.default", "c", "%b"),
        node("aten.add.Tensor", "y", "%c", "%a"),
    )
    assert peak_of(later) == 120


def test_a_value_that_nothing_reads_is_there_for_a_moment() -> None:
    assert peak_of(graph(node("aten.relu.default", "a", "%x"), node("aten.relu.default", "y", "%x"))) == 40


def test_views_keep_their_source_and_take_nothing() -> None:
    viewed = graph(
        node("aten.relu.default", "a", "%x"),
        node("aten.view.default", "v", "%a", [10]),
        node("aten.relu.default", "b", "%x"),
        node("aten.add.Tensor", "y", "%v", "%b"),
    )
    assert peak_of(viewed) == 80
    # Of the program's input there is nothing to count, nor of its results.
    assert peak_of(graph(node("aten.view.default", "y", "%x", [10]))) == 0
    own = graph(node("aten.relu.default", "a", "%x"), node("aten.view.default", "y", "%a", [10]))
    assert peak_of(own) == 0
    assert results(own, list(works(own.nodes, own, {})), {}) == 40


def test_functional_writes_make_copies() -> None:
    made = node("aten.relu_.default", "a", "%x", functional=True)
    assert peak_of(graph(made, node("aten.relu.default", "y", "%a"))) == 40


def test_parts_take_memory_of_their_own() -> None:
    parts = [Work(("x",), ("a",), nbytes=7), Work(("a",), ("y",), nbytes=100)]
    assert peak(graph(), parts, {}) == 140
    assert peak(graph(), parts[:1], {}) == 47


class Branch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y.sin().cos().exp(), lambda y: y.neg(), (x,))


def test_a_nested_graph_takes_what_is_alive_in_it() -> None:
    program, _ = from_exported_program(torch.export.export(Branch(), (torch.ones(25),)))
    found = list(works(program.graph.nodes, program.graph, {}))
    # Two values of 100 bytes at a time, in the longer branch.
    assert max(part.nbytes for part in found) == 200
