"""A segment on an engine: arguments of other kinds are imported, weights bound, donated buffers told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement, Segment
from lowering.ir.weights import Weights
from lowering.targets.target import Built, TargetOptions
from runtime.bound_weights import BoundWeights
from runtime.engine_call import EngineCall, load
from runtime.frame import Frame, Shared
from runtime.report import Report
from tests.runtime.fakes import FakeEngine, node, plan, program, tensor, weights

T3 = tensor(3)
PROGRAM = program(
    {"x": T3}, [node("aten.add.Tensor", "y", self="%x", other="%b_w")], ["%y"], {"y": T3}, buffers={"w": T3}
)
W = np.ones(3, np.float32)


class Other:
    """An engine whose handles are lists."""

    handle = list

    def to_torch(self, handle: list[float]) -> torch.Tensor:
        return torch.tensor(handle)


class Donating(FakeEngine):
    """Its module may write `y` where `x` lies; `owned` has the arguments that it made its own."""

    def __init__(self) -> None:
        super().__init__(PROGRAM, plan(PROGRAM, (Placement.STABLEHLO, ["y"])))
        self.owned: list[Any] = []

    def specialise(self, segment: Segment, sizes: Mapping[str, Any]) -> Built:
        built = super().specialise(segment, sizes)
        return built._replace(module=replace(built.module, donated=(("x", "y"),)))

    def own(self, handle: np.ndarray, target: TargetOptions) -> np.ndarray:
        self.owned.append(handle)
        return handle.copy()


def loaded(engine: FakeEngine) -> tuple[EngineCall, Shared]:
    report = Report(engine.plan, "fake")
    shared = Shared(PROGRAM.graph, {"b_w": "w"}, {}, engine.specialise, report, packed=False)
    shared.engines[list] = Other()  # pyright: ignore[reportArgumentType]
    return load(shared, BoundWeights(weights(w=W)), engine.plan.segments[0], {}), shared


def plain() -> FakeEngine:
    return FakeEngine(PROGRAM, plan(PROGRAM, (Placement.STABLEHLO, ["y"])))


def test_a_tensor_in_host_form_becomes_a_handle() -> None:
    call, shared = loaded(plain())
    frame = Frame({"x": torch.ones(3)}, {}, {}, {}, [])
    call(frame)
    assert frame.handles["y"].tolist() == [2.0] * 3
    assert type(frame.handles["x"]) is np.ndarray
    assert shared.engines[np.ndarray] is call.engine


def test_another_engines_handle_stays_the_values_own() -> None:
    call, _ = loaded(plain())
    theirs = [1.0, 2.0, 3.0]
    frame = Frame({}, {"x": theirs}, {}, {}, [])
    call(frame)
    assert frame.handles["y"].tolist() == [2.0, 3.0, 4.0]
    assert frame.handles["x"] is theirs


def test_weights_are_bound_once() -> None:
    engine = plain()
    _, shared = loaded(engine)
    bound = BoundWeights(weights(w=W))
    for _ in range(2):
        load(shared, bound, engine.plan.segments[0], {})
    assert engine.bound[1]["w"] is engine.bound[2]["w"] is bound.arrays(["w"])["w"]


def test_a_donated_argument_is_the_engines_own_and_told() -> None:
    engine = Donating()
    call, _ = loaded(engine)
    frame = Frame({"x": torch.ones(3)}, {}, {}, {}, [])
    call(frame)
    (owned,) = engine.owned
    assert owned is frame.handles["x"]
    assert frame.overwritten == {"x": "y"}


def test_without_an_engine_nothing_is_loaded() -> None:
    shared = Shared(PROGRAM.graph, {}, {}, None, Report(plan(PROGRAM), "aten"), packed=False)
    with pytest.raises(EngineError, match="no engine was given"):
        load(shared, BoundWeights(Weights()), plain().plan.segments[0], {})
