"""Bytes and operations of nodes, and where they come from."""

from __future__ import annotations

from dataclasses import replace

from bridge.profiling.costs import Costs
from lowering.ir.location import Location
from tests.bridge.profiling.profiles import mixed

PROFILE = mixed()
ONE = 4 * 4 * 4  # bytes of a value


def test_a_node_reads_and_writes() -> None:
    costs = Costs(PROFILE)
    assert costs.nbytes(["b"]) == 3 * ONE
    assert costs.size_of("b") == ONE
    assert costs.size_of("none") == 0


def test_values_inside_a_group_do_not_count() -> None:
    assert Costs(PROFILE).nbytes(["c", "d", "e"]) == 3 * ONE
    assert Costs(PROFILE).nbytes(["b", "c"]) == 4 * ONE


def test_a_view_moves_nothing() -> None:
    assert Costs(PROFILE).nbytes(["d"]) == 0


def test_an_output_is_written() -> None:
    assert Costs(PROFILE).nbytes(["e"]) == 3 * ONE


def test_operations_add_up() -> None:
    costs = Costs(PROFILE)
    assert costs.flops(["a"]) == costs.flops(["a", "b"]) == 2 * 4**3
    assert costs.flops("abcde") == 4 * 4**3


def test_a_node_has_a_line_and_a_module() -> None:
    graph = PROFILE.program.graph
    trace = '  File "net.py", line 12, in forward\n    return x @ x\n'
    first = replace(graph.nodes[0], location=Location(trace, "layers.0"))
    program = replace(PROFILE.program, graph=replace(graph, nodes=(first, *graph.nodes[1:])))
    costs = Costs(replace(PROFILE, program=program))
    assert costs.where(["a", "b"]) == [("a", "net.py:12", "layers.0"), ("b", "", "")]
