"""Where a rule is more accurate than eager, which it is compared with elsewhere: against float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lowering.stablehlo.emit import emit_module
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.ops.data import floats
from tests.ops.driver import Sample, build_program, operator


def lowered(sample: Sample) -> torch.Tensor:
    """The first result of a sample on XLA."""
    program, inputs, _ = build_program(sample)
    names_in = [f"x{i}" for i in range(len(program.graph.inputs))]
    names_out = [f"y{i}" for i in range(len(program.graph.outputs))]
    module = emit_module(program, program.graph.nodes, names_in, names_out, {}, "sample")
    engine, target = get_engine("xla"), TargetOptions()
    executable = engine.load(engine.compile(module, target), module, target, {})
    return engine.to_torch(executable([engine.from_tensor(tensor, target) for tensor in inputs])[0])


FAR = floats(2, 6, 50) + 1e5

NORMS = {
    "aten.layer_norm.default": ([50],),
    "aten.group_norm.default": (2,),
    "aten.batch_norm.default": (None, None, None, None, True, 0.1, 1e-5, True),
    "aten.instance_norm.default": (None, None, None, None, True, 0.1, 1e-5, True),
}


@pytest.mark.parametrize("target", NORMS)
def test_a_mean_that_dwarfs_the_spread_costs_no_digits(target: str) -> None:
    arguments: tuple[Any, ...] = NORMS[target]
    exact = operator(target)(FAR.double(), *arguments)
    found = lowered(Sample(target, (FAR, *arguments)))
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=3e-6)
