"""Pipelines over programs hold passes to the rules of the IR."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lowering.ir.program import Graph
from lowering.ir.validate import InvalidProgram
from lowering.passes.pipeline import Observation, observed
from lowering.passes.program import FUNCTIONAL, graph_pass, program_pipeline, with_graph
from tests.lowering.graphs import chain, graph, node, program

NEGATED = graph(["x"], [node("y", "aten.neg.default", self="%x")], ["%y"])


def test_a_graph_that_is_the_same_leaves_the_program() -> None:
    given = chain(2)
    assert graph_pass("nothing", lambda graph: graph, "Do nothing.").run(given) is given


def test_outputs_by_other_names_are_the_signatures_too() -> None:
    made = with_graph(chain(2), NEGATED)
    assert made.graph is NEGATED
    assert [str(spec.value) for spec in made.signature.outputs] == ["%y"]


def test_a_pass_that_breaks_a_rule_is_named() -> None:
    def first(graph: Graph) -> Graph:
        return replace(graph, nodes=graph.nodes[:1])

    pipeline = program_pipeline("broken", graph_pass("cut", first, "Drop all but one."))
    with observed(Observation(verify=True)), pytest.raises(InvalidProgram, match="returns n1") as caught:
        pipeline.run(chain(2))
    assert caught.value.__notes__ == ["after the pass cut of the pipeline broken"]


def test_a_write_after_functionalisation_is_noticed() -> None:
    writing = program(["x"], [node("y", "aten.add_.Tensor", self="%x", other=1)], ["%y"])
    write = graph_pass("write", lambda _: writing.graph, "Write.", requires=(FUNCTIONAL,))
    with observed(Observation(verify=True)), pytest.raises(InvalidProgram, match="writes to its arguments"):
        program_pipeline("late", write, given=(FUNCTIONAL,)).run(chain(2))
