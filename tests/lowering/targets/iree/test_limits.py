from __future__ import annotations

import numpy as np
import pytest

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.limits import LIMITS, check_limits
from lowering.targets.target import TargetOptions
from tests.lowering.targets.engine_modules import module, tensor
from tests.lowering.targets.iree.through import function, text_through


def sort(sizes: tuple[int, ...], axis: int) -> Module:
    x, y = Port("x", DType.FLOAT32, sizes), Port("y", DType.FLOAT32, sizes)
    t = tensor(x)
    body = f"""%y = "stablehlo.sort"(%x) <{{dimension = {axis} : i64}}> ({{
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("inner"("m.py":9:0))
      stablehlo.return %c : tensor<i1>
    }}) : ({t}) -> {t} loc("topk_3"("model.py":12:0))"""
    return module(body, (x,), (y,), "ranking")


@pytest.mark.parametrize(("sizes", "axis"), [((100_000,), 0), ((2, 800), 1), ((1100, 1), 0)])
def test_a_long_sort_is_refused_by_name(sizes: tuple[int, ...], axis: int) -> None:
    with pytest.raises(
        EngineError, match=r"iree ranking: its sort compares .*: [\d,]+ comparisons"
    ) as caught:
        Iree().compile(sort(sizes, axis), TargetOptions())
    assert caught.value.node == "topk_3"


@pytest.mark.parametrize(("sizes", "axis"), [((1000,), 0), ((1, 5000), 0), ((2, 700), 1)])
def test_what_is_let_through_sorts(sizes: tuple[int, ...], axis: int) -> None:
    engine, program = Iree(), sort(sizes, axis)
    run = engine.load(engine.compile(program, TargetOptions()), program, TargetOptions(), {})
    x = np.random.default_rng(0).standard_normal(sizes, np.float32)
    (result,) = run([engine.from_tensor(x, TargetOptions())])
    np.testing.assert_array_equal(engine.to_numpy(result), np.sort(x, axis))


def test_an_operation_without_a_place_is_refused_without_a_name() -> None:
    t = "tensor<2000xf32>"
    text = function(
        f"(%x: {t}) -> {t}",
        f"%r = iree_linalg_ext.sort dimension(0) outs(%x : {t}) {{",
        "^bb0(%a: f32, %b: f32):",
        "  %c = arith.cmpf olt, %a, %b : f32",
        "  iree_linalg_ext.yield %c : i1",
        f"}} -> {t}",
        f"util.return %r : {t}",
    )
    with pytest.raises(EngineError, match="4,000,000 comparisons") as caught:
        text_through(text, check_limits)
    assert caught.value.node is None
    assert LIMITS[0].most == 1_000_000


def test_a_loop_over_too_many_tensors_is_explained() -> None:
    ports = tuple(Port(f"x{index}", DType.FLOAT32, (64,)) for index in range(40))
    t = tensor(ports[0])
    lines = ["%s0 = stablehlo.tanh %x0 : " + t]
    lines += [f"%s{n} = stablehlo.multiply %s{n - 1}, %x{n} : {t}" for n in range(1, 40)]
    program = module("\n".join(lines), ports, (Port("s39", DType.FLOAT32, (64,)),))
    engine = Iree()
    binary = engine.compile(program, TargetOptions())
    with pytest.raises(EngineError, match="uses 41 tensors at once, and IREE takes 32 at most"):
        engine.load(binary, program, TargetOptions(), {})
