"""IREE's dispatches: which call is shown, whose nodes they have, and a whole run of its tool."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from lowering.ir.errors import EngineError
from lowering.targets.iree import profile
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.profile import Dispatch, kernels
from lowering.targets.target import CPU, Built
from tests.lowering.targets.engine_modules import linear

SECOND = 1_000_000_000


def calls(*lengths: int, names: str = "aba") -> list[Dispatch]:
    """Calls of dispatches with these names, each so many seconds long, a second apart."""
    found: list[Dispatch] = []
    now = 100
    for length in lengths:
        for command, name in enumerate(names):
            found.append(Dispatch(name, now * SECOND, (now + length) * SECOND, command))
            now += length
        now += 1
    return found


def test_the_call_in_the_middle_is_shown_and_never_the_first() -> None:
    shown = kernels(calls(9, 4, 1, 2, 3), {})
    assert [(k.name, k.start, k.seconds) for k in shown] == [("a", 0, 2), ("b", 2, 2), ("a", 4, 2)]


def test_each_call_of_a_dispatch_has_the_nodes_of_its_place() -> None:
    shown = kernels(calls(1, 1, 1, 1, 1), {"a": [("x",), ("y",)], "b": [("z",)]})
    assert [k.nodes for k in shown] == [("x",), ("z",), ("y",)]


def test_a_place_that_a_loop_repeats_has_the_nodes_of_all() -> None:
    shown = kernels(calls(1, 1, 1, 1, 1), {"a": [("x",)], "b": [("y",), ("z", "y")]})
    assert [k.nodes for k in shown] == [("x",), ("y", "z"), ("x",)]


def test_commands_side_by_side_are_in_their_own_order() -> None:
    now = 100 * SECOND
    each = [Dispatch("late", now, now + 5, 1), Dispatch("early", now + 1, now + 2, 0)]
    dispatches = [d._replace(start=d.start + i * 9, end=d.end + i * 9) for i in range(5) for d in each]
    assert [k.name for k in kernels(dispatches, {})] == ["early", "late"]


def test_calls_that_cannot_be_told_apart_are_not_shown() -> None:
    assert kernels(calls(1, 1, 1, 1, 1)[:-1], {}) == []
    assert kernels([], {}) == []


def test_arguments_in_files(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    assert profile._write(tmp_path / "0", array) == f"--input=@{tmp_path / '0.npy'}"
    assert np.load(tmp_path / "0.npy").tolist() == array.tolist()
    half = array.astype(ml_dtypes.bfloat16)
    assert profile._write(tmp_path / "1", half) == f"--input=2x3xbf16=@{tmp_path / '1.bin'}"
    assert (tmp_path / "1.bin").read_bytes() == half.tobytes()


def test_a_tool_that_fails_is_named() -> None:
    with pytest.raises(EngineError, match=r"iree m: iree-profile failed: .*none"):
        profile._tool("iree-profile", "dispatch", "none", name="m")
    with pytest.raises(EngineError, match="iree m: cannot profile: "):
        profile._tool("iree-none", name="m")


def test_the_dispatches_of_a_call() -> None:
    engine, module = Iree(), linear()
    binary = engine.compile(module, CPU)
    run = engine.load(binary, module, CPU, {"layer.weight": np.eye(8, dtype=np.float32)})
    given = [engine.from_tensor(np.ones((8, 8), np.float32), CPU)]
    built = Built(module, binary, engine)
    (result,), found = engine.trace(run, built, given, lambda: run(given))
    assert engine.to_numpy(result).tolist() == np.ones((8, 8)).tolist()
    assert any("main_dispatch_0" in kernel.name for kernel in found)
