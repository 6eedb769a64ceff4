"""Modules for all sizes: in a lowered program, in an artifact, and in the place of emission at new sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge import planned
from bridge.dynamic_modules import from_json, to_json
from bridge.errors import UsageError
from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort, SizeGuard
from lowering.ir.module import Check, CheckKind
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType
from tests.bridge.environments import RUNTIME_ALONE
from tests.lowering.stablehlo.test_emit_dynamic import Attention, exported

S = Symbol("s0")
MODULE = DynamicModule(
    b"code",
    (
        DynamicPort("w", DType.FLOAT32, (3,), "weight"),
        DynamicPort("x", DType.INT64, (S, Apply("Mul", (2, S)))),
    ),
    (DynamicPort("y", DType.BOOL, (S,)), DynamicPort("s0", DType.INT64, (), None, "s0")),
    {"s0": Range(1, None)},
    (SizeGuard(Apply("StrictLessThan", (S, 16)), "ops/x.py:3"),),
    "segment_0",
    (Check(CheckKind.INDEX, "out of bounds"),),
    {
        "s0": BatchAxes({"x": (0,)}, {"y": (RowAxis(0, Apply("Mul", (2, Symbol("s1")))),)}),
        "s1": Mixing("sums over the rows", "mean"),
    },
)


def test_json_keeps_all_of_a_module() -> None:
    modules, at_one = {0: MODULE, 2: "a reason"}, {("s0",): "", ("s0", "s1"): "y is [1], not [2]"}
    data = json.loads(json.dumps(to_json(modules, at_one)))
    assert from_json(data, lambda index: b"code") == (modules, at_one)


@pytest.mark.parametrize(
    "change",
    [
        {"segment": -1},
        {"segment": "0"},
        {"ranges": {"s0": [1.5, None]}},
        {"in": [["x", "no dtype", [], None, None]]},
        {"in": [["x", "int64", [1.5], None, None]]},
        {"guards": [[["StrictLessThan", "s0"], 3]]},
        {"name": 3},
        {"batch_axes": {"s0": {"in": {"x": [-1]}, "out": {}}}},
        {"batch_axes": {"s0": {"in": {}, "out": {"y": [[0, 1.5]]}}}},
        {"batch_axes": {"s0": {"reason": 3, "node": ""}}},
    ],
    ids=str,
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    (row,) = to_json({0: MODULE}, {})["modules"]
    with pytest.raises((ValueError, TypeError)):
        from_json({"modules": [{**row, **change}], "at_one": []}, lambda index: b"code")


def test_new_sizes_are_refined_not_emitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = bridge.lower(exported()).save(tmp_path / "model.bridge")
    lowered = bridge.load(path)

    def emit(*_: Any) -> Any:
        raise AssertionError("a module was emitted")

    monkeypatch.setattr(planned, "emit_segment", emit)
    monkeypatch.setattr(planned, "dynamic_segment", emit)
    compiled = lowered.compile("xla", on_new_size="wait")
    for batch, length in ((1, 1), (2, 9), (16, 64)):
        tokens = torch.randint(0, 11, (batch, length))
        torch.testing.assert_close(compiled(tokens), Attention().eval()(tokens), rtol=1e-5, atol=1e-5)
    assert compiled.report.fallbacks == []


def test_the_module_for_all_sizes_is_shown() -> None:
    lowered = bridge.lower(exported())
    assert "tensor<?x?xi64>" in lowered.stablehlo(dynamic=True)
    assert lowered.dynamic_module().guards == ()


def test_a_program_of_known_sizes_has_none(tmp_path: Path) -> None:
    lowered = bridge.lower(torch.nn.Linear(3, 2), (torch.ones(1, 3),))
    assert lowered.dynamic_modules() == {}
    assert not (lowered.save(tmp_path / "model.bridge") / "dynamic.json").exists()


def test_why_a_segment_has_one_module_for_each_size_is_told(tmp_path: Path) -> None:
    class Larger(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(x, size=(9, 9), mode="bicubic", antialias=True)

    rows = {2: torch.export.Dim("rows", max=9)}
    program = torch.export.export(Larger(), (torch.rand(1, 2, 4, 5),), dynamic_shapes=(rows,))
    lowered = bridge.lower(program)
    with pytest.raises(UsageError, match="segment 0 has no module for all sizes: its rule takes the size"):
        lowered.dynamic_module()
    loaded = bridge.load(lowered.save(tmp_path / "model.bridge"))
    assert list(loaded.dynamic) == [0]
    assert loaded.compile("xla", on_new_size="wait")(torch.rand(1, 2, 7, 5)).shape == (1, 2, 9, 9)


def test_new_sizes_need_no_torch(tmp_path: Path) -> None:
    path = bridge.lower(exported()).save(tmp_path / "model.bridge")
    code = f"""
import sys
import numpy as np
import bridge
compiled = bridge.load({str(path)!r}).compile("xla")
assert compiled(np.zeros((7, 13), np.int64)).shape == (7, 13, 8)
assert compiled.report.fallbacks == []
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("engine", ["xla", pytest.param("iree", marks=pytest.mark.conformance)])
def test_sizes_that_were_asked_for_need_no_compiler(engine: str, tmp_path: Path) -> None:
    lowered = bridge.lower(exported())
    lowered.compile(engine, sizes=[{"tokens.0": 2, "tokens.1": 9}, {"tokens.0": 1, "tokens.1": 64}])
    path = lowered.save(tmp_path / "model.bridge")
    code = f"""
import sys
import numpy as np
import bridge
from bridge import binaries

def compiled(*_):
    raise AssertionError("a module was compiled")

binaries.Binaries._compiled = compiled
compiled = bridge.load({str(path)!r}).compile({engine!r})
for shape in ((3, 5), (2, 9), (1, 64)):
    assert compiled(np.zeros(shape, np.int64)).shape == (*shape, 8)
assert compiled.report.fallbacks == []
assert {engine!r} == "xla" or "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "BRIDGE_CACHE_BYTES": "0"})
    again = bridge.load(bridge.load(path).save(tmp_path / "again.bridge"))
    assert sorted(size for _, at in again.sized for _, size in at) == [1, 2, 9, 64]


def test_the_binary_for_all_sizes_serves_where_nothing_else_is(tmp_path: Path) -> None:
    lowered = bridge.lower(exported())
    serving = lowered.compile("iree", on_new_size="dynamic")
    assert serving.report.no_dynamic == {}
    tokens = torch.randint(0, 11, (2, 9))
    torch.testing.assert_close(serving(tokens), Attention().eval()(tokens), rtol=1e-5, atol=1e-5)
    assert (serving.report.tiers["dynamic"], serving.report.fallbacks) == (1, [])
    path = lowered.save(tmp_path / "model.bridge")
    code = f"""{RUNTIME_ALONE}
import numpy as np
import bridge

compiled = bridge.load({str(path)!r}).compile("iree", on_new_size="dynamic")
for shape in ((3, 5), (1, 1), (16, 64), (7, 13)):
    for _ in range(2):
        result = compiled(np.zeros(shape, np.int64))
        assert result.shape == (*shape, 8) and np.isfinite(result).all()
assert compiled.report.tiers["dynamic"] == 6, compiled.report
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "BRIDGE_CACHE_BYTES": "0"})


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_what_was_compiled_goes_back_into_the_artifact(engine: str, tmp_path: Path) -> None:
    path = bridge.lower(exported()).save(tmp_path / "model.bridge")
    compiled = bridge.load(path).compile(engine)
    assert isinstance(compiled, bridge.Compiled)
    compiled.prepare({"tokens.0": 2, "tokens.1": 9})
    assert compiled.save_binaries() == path
    again = bridge.load(path).compile(engine)
    assert isinstance(again, bridge.Compiled)
    tokens = torch.randint(0, 11, (2, 9))
    torch.testing.assert_close(again(tokens), Attention().eval()(tokens), rtol=1e-5, atol=1e-5)
    assert again.report.tiers == {"static": 1, "dynamic": 0, "aten": 0}
    with pytest.raises(UsageError, match=r"tokens\.0 cannot be 17"):
        again.prepare({"tokens.0": 17})


def test_a_program_without_an_artifact_says_so() -> None:
    compiled = bridge.lower(exported()).compile("xla")
    assert isinstance(compiled, bridge.Compiled)
    with pytest.raises(UsageError, match="give save_binaries a path"):
        compiled.save_binaries()
