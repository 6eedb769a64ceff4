"""ATen as a target: a segment of nodes becomes an executable on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lowering.host.memory import base
from lowering.ir.program import Node
from lowering.targets import get_host
from lowering.targets.aten import onednn
from lowering.targets.errors import UnknownOperator
from lowering.targets.target import ROLLBACK, NodeSegment
from tests.runtime.fakes import node, program, tensor, weights

W = np.arange(6, dtype=np.float32).reshape(2, 3)
TYPES = {
    "x": tensor(4, 3),
    "w": tensor(2, 3),
    "n": tensor(3),
    "y": tensor(4, 2),
    "t": tensor(2, 3),
    "new": tensor(3),
}


def segment(
    nodes: Sequence[Node], *outputs: str, updates: dict[str, str] | None = None, packed: bool = False
) -> NodeSegment:
    graph = program({}, nodes, [f"%{name}" for name in outputs], TYPES).graph
    stored = weights(weight=W)
    return NodeSegment(graph, nodes, outputs, {"w": "weight"}, updates or {}, stored, packed)


LINEAR = [node("aten.linear.default", "y", input="%x", weight="%w")]


def test_weights_are_constants_and_the_rest_is_read() -> None:
    made = get_host().compile(segment(LINEAR, "y"))
    assert made.inputs == ("x",)
    assert len(made.bases) == 1
    values = {ROLLBACK: [], "x": torch.ones(4, 3)}
    made.run(values, {})
    assert values["y"].tolist() == [[3.0, 12.0]] * 4
    assert values.keys() == {ROLLBACK, "x", "y"}


def test_results_may_be_views_of_constants_whose_bases_are_told() -> None:
    made = get_host().compile(segment([node("aten.alias.default", "t", self="%w")], "t"))
    values: dict[str, object] = {ROLLBACK: []}
    made.run(values, {})
    assert base(values["t"]) in made.bases


def test_the_packed_pipeline_is_asked_for() -> None:
    packed = [item.target for item in get_host().compile(segment(LINEAR, "y", packed=True)).nodes]
    fused = onednn.takes(torch.float32) and torch.backends.mkldnn.is_available()
    assert packed == (["mkldnn._linear_pointwise.default"] if fused else ["aten.linear.default"])
    plain = [item.target for item in get_host().compile(segment(LINEAR, "y")).nodes]
    assert plain == ["aten.linear.default"]


def test_writes_in_place_can_be_taken_back() -> None:
    nodes = [node("aten.add.Scalar", "new", self="%n", other=1)]
    made = get_host().compile(segment(nodes, "new", updates={"n": "new"}))
    n = torch.zeros(3)
    values = {ROLLBACK: [], "n": n}
    made.run(values, {})
    assert values["new"] is n
    assert n.tolist() == [1.0] * 3
    (take_back,) = values[ROLLBACK]
    take_back()
    assert n.tolist() == [0.0] * 3


def test_an_operator_that_a_file_may_not_call_is_refused() -> None:
    nodes = [node("aten.set_.source_Storage", "t", self="%x", source="%n")]
    with pytest.raises(UnknownOperator, match=r"node t: "):
        get_host().compile(segment(nodes, "t"))
