"""Operators that a file may not have ATen run: refused when it is lowered, and when an artifact is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bridge
from bridge.errors import ArtifactError, OperatorRefused
from bridge.lowered import lower_program
from lowering.ir.types import DType, contiguous
from lowering.ir.weights import Weights
from lowering.targets.aten.routine import run_graph
from lowering.targets.errors import UnknownOperator
from tests.bridge.test_damage import reseal
from tests.lowering.graphs import node, program

NOTHING = Weights()


@pytest.mark.parametrize(
    "target", ["aten._print.default", "inductor._alloc_from_pool.default", "aten.set_.source_Tensor"]
)
def test_lowering_refuses_them_with_node_and_line(target: str) -> None:
    forged = program(["x"], [node("y", target, "%x", line=7)], ["%y"])
    with pytest.raises(OperatorRefused) as caught:
        lower_program(forged, NOTHING)
    assert str(caught.value).startswith(f"node y (model.py:7): a file may not call {target}: ")
    assert str(caught.value).endswith("; export the model without it")


def test_what_a_rule_lowers_need_not_be_on_the_list() -> None:
    types = {"y": contiguous(DType.FLOAT32, (2, 2, 3))}
    stacked = program(["x"], [node("y", "aten._stack.default", tensors=("%x", "%x"), dim=0)], ["%y"], types)
    lowered = lower_program(stacked, NOTHING)
    assert lowered.placement == {"y": "stablehlo"}
    # Where ATen is to run it all the same, it is refused then.
    with pytest.raises(UnknownOperator, match=r"node y: a file may not call aten\._stack\.default"):
        run_graph(stacked.graph, {"x": torch.ones(2, 3)}, {})


def test_loading_refuses_them(tmp_path: Path) -> None:
    plain = program(["x"], [node("y", "aten.bernoulli.default", self="%x")], ["%y"])
    path = lower_program(plain, NOTHING).save(tmp_path / "a.bridge")
    bridge.load(path)
    for name in ("program.json", "functional.json"):
        if (path / name).is_file():
            text = (path / name).read_text()
            assert "aten.bernoulli.default" in text
            (path / name).write_text(text.replace("aten.bernoulli", "aten._pin_memory"))
            reseal(path, name)
    with pytest.raises(ArtifactError, match=r"node y: a file may not call aten\._pin_memory\.default"):
        bridge.load(path)
