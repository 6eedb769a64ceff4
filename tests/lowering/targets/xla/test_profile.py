"""XLA's thunks, and the nodes that its optimised module says they come from."""

from __future__ import annotations

import numpy as np
import pytest

from lowering.ir.errors import EngineError
from lowering.targets.target import CPU, Built
from lowering.targets.xla.engine import Xla
from lowering.targets.xla.profile import nodes_of, traced
from tests.lowering.targets.engine_modules import linear

MODULE = """
HloModule main, is_scheduled=true

%fused (p0: f32[4], p1: f32[]) -> f32[4] {
  %p0 = f32[4]{0} parameter(0), metadata={op_name="first"}
  %p1 = f32[] parameter(1)
  %c = f32[] constant(2), metadata={op_name="first"}
  %b = f32[4]{0} broadcast(%c), dimensions={}, metadata={op_name="first"}
  %m = f32[4]{0} multiply(%p0, %b), metadata={op_name="mul" stack_frame_id=1}
  ROOT %a = f32[4]{0} add(%m, %m), metadata={op_name="add;relu" stack_frame_id=2}
}


%body (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %inner = f32[4]{0} fusion(%x, %x), kind=kLoop, calls=%fused
}

%condition (x.1: f32[4]) -> pred[] {
  %x.1 = f32[4]{0} parameter(0)
  ROOT %less = pred[] compare(%x.1, %x.1), direction=LT, metadata={op_name="less"}
}

ENTRY %main (x.2: f32[4]) -> f32[4] {
  %x.2 = f32[4]{0} parameter(0)
  %fusion.1 = f32[4]{0} fusion(%x.2, %x.2), kind=kLoop, calls=%fused, metadata={op_name="add"}
  %loop = f32[4]{0} while(%fusion.1), condition=%condition, body=%body, metadata={op_name="scan"}
  ROOT %either = f32[4]{0} conditional(%loop), branch_computations={%body, %condition}
}
"""


def test_an_instruction_has_the_nodes_of_what_it_calls() -> None:
    found = nodes_of(iter([MODULE]))
    assert found["fusion.1"] == ("mul", "add", "relu")
    assert found["inner"] == ("mul", "add", "relu")
    assert set(found["loop"]) == {"mul", "add", "relu", "less", "scan"}
    assert set(found["either"]) == {"mul", "add", "relu", "less"}
    assert found["less"] == ("less",)


def test_what_several_nodes_share_names_none() -> None:
    found = nodes_of(iter([MODULE]))
    assert found["p0"] == found["c"] == found["b"] == ()


def test_the_thunks_of_a_call() -> None:
    engine, module = Xla(), linear()
    binary = engine.compile(module, CPU)
    run = engine.load(binary, module, CPU, {"layer.weight": np.eye(8, dtype=np.float32)})
    x = engine.from_tensor(np.ones((8, 8), np.float32), CPU)
    given = [x]
    (result,), kernels = engine.trace(run, Built(module, binary, engine), given, lambda: run(given))
    assert engine.to_numpy(result).tolist() == np.ones((8, 8)).tolist()
    assert kernels
    assert all(kernel.seconds >= 0 and kernel.start >= 0 for kernel in kernels)
    assert any(kernel.seconds > 0 for kernel in kernels)


def test_one_profiler_at_a_time() -> None:
    class Unused:
        def hlo_modules(self) -> list[object]:
            return []

    with pytest.raises(EngineError, match="xla: cannot profile: "):
        traced(Unused(), lambda: traced(Unused(), lambda: None))
