"""The pipeline of ATen: its order, its identity, and that its checks find a broken program."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lowering.passes.pipeline import Observation, Pass, Pipeline, PipelineError, observed
from lowering.targets import pipelines
from lowering.targets.aten.pipeline import pipeline
from lowering.targets.aten.program import AtenProgram, MalformedProgram, show, verify
from lowering.targets.aten.reinplacing import check_reinplaced
from tests.runtime.fakes import node, program, tensor

T3 = tensor(3)


def counter() -> AtenProgram:
    """A counter that is raised by a folded constant; a chain of elementwise nodes; the inputs `x` and `n`."""
    nodes = [
        node("aten.exp.default", "step", self="%w"),
        node("aten.add.Tensor", "new", self="%n", other="%step"),
        node("aten.sin.default", "a", self="%x"),
        node("aten.relu.default", "b", self="%a"),
    ]
    names = ("x", "n", "w", "step", "new", "a", "b")
    graph = program({"x": T3, "n": T3, "w": T3}, nodes, ["%new", "%b"], dict.fromkeys(names, T3)).graph
    constants = {"w": torch.zeros(3)}
    return AtenProgram(
        graph, graph.nodes, frozenset({"x", "n"}), constants, ("new", "b"), updates={"n": "new"}
    )


def names(packed: bool) -> list[str]:
    return [item.name for item in pipeline(packed).passes]


def test_the_order_of_passes() -> None:
    assert names(packed=False) == ["constant-folding", "reinplacing", "buffer-reuse"]
    fusion = ["activation-recognition", "activation-hoisting", "prepacking", "lstm-prepacking"]
    assert names(packed=True) == ["constant-folding", *fusion, "reinplacing", "buffer-reuse"]


def test_buffers_are_reused_only_after_reinplacing() -> None:
    own = pipeline()
    with pytest.raises(PipelineError, match="buffer-reuse of aten requires reinplaced"):
        Pipeline(own.name, own.subject, own.passes[::-1], own.verify, own.show, own.properties)


def test_what_results_depend_on() -> None:
    assert pipeline().identity() == "aten(constant-folding, reinplacing, buffer-reuse)"
    assert pipeline(packed=True).identity() != pipeline().identity()


def test_targets_list_it() -> None:
    assert {"aten", "aten-packed"} <= {item.name for item in pipelines("aten")}


def test_each_pass_does_its_part() -> None:
    told: list[str] = []
    with observed(Observation(told.append, changed=True, verify=True)):
        made = pipeline().run(counter())
    assert [text.partition("\n")[0] for text in told] == [
        "// 1: aten, after constant-folding",
        "// 2: aten, after reinplacing",
        "// 3: aten, after buffer-reuse",
    ]
    assert show(made) == (
        "constant %step: float32[3]\n"
        "%new: f32[3] = aten.add.Tensor(self=%n, other=%step)\n"
        "%a: f32[3] = aten.sin.default(self=%x)\n"
        "%b: f32[3] = aten.relu_.default(self=%a)\n"
        "in place: new(self)"
    )


def test_without_any_pass_the_program_stays() -> None:
    given = counter()
    with observed(Observation(until=0)):
        assert pipeline(packed=True).run(given) is given


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"nodes": counter().nodes[1:]}, "node new reads %step, which nothing makes before it"),
        ({"nodes": counter().nodes[::-1]}, "node b reads %a, which nothing makes before it"),
        ({"nodes": counter().nodes[:3]}, "nothing makes the output %b"),
        ({"inputs": frozenset({"n"})}, "node a reads %x"),
        ({"in_place": {"gone": frozenset({"self"})}}, "the node gone to run in place does not exist"),
    ],
)
def test_a_broken_program_is_found(change: dict[str, object], problem: str) -> None:
    verify(counter())
    broken = replace(counter(), **change)  # pyright: ignore[reportArgumentType]
    with pytest.raises(MalformedProgram, match=problem):
        verify(broken)


def test_the_pass_that_breaks_a_program_is_named() -> None:
    own = pipeline()
    cut = Pass[AtenProgram]("cut", lambda given: replace(given, nodes=given.nodes[:-1]), "Lose a node.")
    longer = replace(own, passes=(*own.passes, cut))
    with observed(Observation(verify=True)), pytest.raises(MalformedProgram) as caught:
        longer.run(counter())
    assert caught.value.__notes__ == ["after the pass cut of the pipeline aten"]


def test_a_value_that_is_read_after_it_was_written_over_is_found() -> None:
    made = pipeline().run(counter())
    check_reinplaced(made)
    late = node("aten.cos.default", "late", self="%n")
    with pytest.raises(MalformedProgram, match="node new writes over %n, which is still read"):
        check_reinplaced(replace(made, nodes=(*made.nodes, late)))
