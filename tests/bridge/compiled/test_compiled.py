"""A compiled program beyond its calls: sizes, binaries, a state that programs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.compiled.compiled import Compiled
from lowering.ir.program import Program
from runtime.specialisations import OnNewSize
from tests.runtime.fakes import FakeOrigin, N, compiled, node, program, tensor, weights

ONE = np.ones(3, np.float32)


def doubled() -> Program:
    type_ = tensor(N, 3)
    return program({"x": type_}, [node("aten.mul.Scalar", "y", self="%x", other=2)], ["%y"], {"y": type_})


def counter() -> Program:
    """Adds x to the buffer n."""
    nodes = [node("aten.add.Tensor", "new", self="%b_n", other="%x")]
    three = tensor(3)
    return program({"x": three}, nodes, [], {"new": three}, buffers={"n": three}, writes={"n": "new"})


def test_sizes_are_prepared_by_their_names_and_saved() -> None:
    origin = FakeOrigin()
    f, engine = compiled(doubled(), cache_size=1, origin=origin, on_new_size=OnNewSize.ATEN)
    for n in (2, 3):
        f.prepare({"x.0": n})
        np.testing.assert_array_equal(f(np.ones((n, 3), np.float32)), np.full((n, 3), 2))
    assert engine.loads == [{"s0": 2}, {"s0": 3}]
    assert f.report.tiers == {"static": 2, "dynamic": 0, "aten": 0}
    assert f.save_binaries("a.bridge") == Path("a.bridge")
    assert origin.saved == [(0, {"s0": 2}), (0, {"s0": 3})]


def test_a_program_that_was_put_together_by_hand_has_no_artifact() -> None:
    f, _ = compiled(doubled())
    with pytest.raises(TypeError, match="has no artifact"):
        f.save_binaries("a.bridge")


def test_programs_share_a_state() -> None:
    first, _ = compiled(counter(), weights=weights(n=ONE))
    made, _ = compiled(counter(), weights=weights(n=ONE))
    second = Compiled(made.executor, state=first.state())
    first(ONE)
    second(ONE)
    assert first.state() is second.state()
    assert first.buffers["n"].tolist() == second.buffers["n"].tolist() == [3.0] * 3
    second.reset()
    assert first.buffers["n"].tolist() == [1.0] * 3


def test_a_call_tells_what_it_writes() -> None:
    assert compiled(counter(), weights=weights(n=ONE))[0].written == ((), ("n",))
