"""Operators that a file may not have ATen run: refused when it is lowered, and when an artifact is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bridge
from bridge.errors import ArtifactError, BridgeError, OperatorRefused
from bridge.lowered import lower_program
from lowering.ir.program import Program
from lowering.ir.types import DType, contiguous
from lowering.ir.weights import Weights
from lowering.targets.aten.routine import run_graph
from lowering.targets.errors import UnknownOperator
from tests.bridge.test_damage import edit, reseal
from tests.lowering.graphs import graph, node, program

NOTHING = Weights()


@pytest.mark.parametrize(
    "target",
    [
        "aten._print.default",
        "inductor._alloc_from_pool.default",
        "aten.set_.source_Tensor",
        "builtins.eval",
        "_operator.setitem",
    ],
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


_SQUARE = contiguous(DType.FLOAT32, (1, 2, 2))
_TYPES = {
    **dict.fromkeys(("x", "y", "p"), _SQUARE),
    **dict.fromkeys(("i", "j"), contiguous(DType.INT64, (1, 2, 2))),
    **dict.fromkeys(("d", "s"), contiguous(DType.FLOAT32, (4,))),
    "l": contiguous(DType.INT64, (4,)),
    "c": contiguous(DType.BOOL, ()),
}
_POOLED = node("p", "aten.adaptive_max_pool2d.default", outputs=("p", "i"), self="%x", output_size=(2, 2))
_BACK = node("y", "aten.adaptive_max_pool2d_backward.default", grad_output="%p", self="%x", indices="%i")
_BRANCH = graph(["x", "j"], [_POOLED, _BACK], ["%y"], _TYPES, "branch")
# A program, and what a forger makes of its JSON.
_FORGED = {
    "no checks": (
        program(
            ["d", "l"],
            [node("s", "aten.segment_reduce.default", data="%d", reduce="sum", lengths="%l", unsafe=False)],
            ["%s"],
            _TYPES,
        ),
        ('["unsafe",false]', '["unsafe",true]'),
    ),
    "positions": (
        program(["x", "j"], [_POOLED, _BACK], ["%y"], _TYPES),
        ('["indices",{"ref":"i"}]', '["indices",{"ref":"j"}]'),
    ),
    "positions in a branch": (
        program(
            ["c", "x", "j"],
            [node("y", "higher_order.cond", "%c", _BRANCH, _BRANCH, ("%x", "%j"))],
            ["%y"],
            _TYPES,
        ),
        ('["indices",{"ref":"i"}]', '["indices",{"ref":"j"}]'),
    ),
    "no end": (
        program(["x"], [node("y", "aten.matrix_power.default", self="%x", n=3)], ["%y"], _TYPES),
        ('["n",3]', f'["n",{-(1 << 63)}]'),
    ),
}


@pytest.mark.parametrize("forged", _FORGED)
def test_artifacts_make_no_call_that_no_file_may_make(forged: str, tmp_path: Path) -> None:
    plain, (old, new) = _FORGED[forged]
    path = lower_program(plain, NOTHING).save(tmp_path / "a.bridge")
    bridge.load(path)
    for name in ("program.json", "functional.json"):
        if (path / name).is_file():
            text = (path / name).read_text()
            assert old in text
            (path / name).write_text(text.replace(old, new))
            reseal(path, name)
    # Without a module, the segment is emitted anew: a call that does not end would be decomposed.
    edit(path, "modules.json", lambda rows: rows.clear())
    for module in (path / "modules").iterdir():
        edit(path, "manifest.json", lambda data, m=module: data["files"].pop(f"modules/{m.name}"))
    for trust in (False, True):
        with pytest.raises(ArtifactError, match=r"node [ys]: a file may not call aten\.[^\n]*\Z"):
            bridge.load(path, trust=trust)


@pytest.mark.parametrize("forged", _FORGED)
def test_programs_in_json_make_no_such_call(forged: str, tmp_path: Path) -> None:
    plain, (old, new) = _FORGED[forged]
    path = plain.save(tmp_path / "p.json")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for read in (bridge.lower, bridge.ir.read_program):
        with pytest.raises(BridgeError, match=r"p\.json: node [ys]: a file may not call aten\.[^\n]*\Z"):
            read(path)
    with pytest.raises(BridgeError, match="a file may not call"):
        Program.load(path)


def test_nothing_is_saved_that_no_reader_takes(tmp_path: Path) -> None:
    call = node("s", "aten.segment_reduce.default", data="%d", reduce="sum", lengths="%l", unsafe=True)
    unchecked = program(["d", "l"], [call], ["%s"], _TYPES)
    with pytest.raises(OperatorRefused, match=r"cannot write .*a\.bridge: node s: a file may not call"):
        lower_program(unchecked, NOTHING).save(tmp_path / "a.bridge")
    with pytest.raises(BridgeError, match=r"p\.json: node s: a file may not call"):
        unchecked.save(tmp_path / "p.json")
    assert not list(tmp_path.iterdir())
