"""Conversions from and to bfloat16, in bits."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from expecttest import assert_expected_inline

from lowering.ir.module import Port
from lowering.ir.types import DType
from lowering.targets.iree.bfloat16 import keep_roundings, round_integers
from lowering.targets.iree.engine import Iree
from lowering.targets.target import CPU
from tests.lowering.targets.engine_modules import module, tensor
from tests.lowering.targets.iree.through import function, text_through


def loop(given: str, made: str, operation: str, kind: str = "parallel") -> str:
    """A loop over four elements, whose body is an operation from `%a` to `%m`."""
    out = "(i) -> (i)" if kind == "parallel" else "(i) -> ()"
    t, u = f"tensor<4x{given}>", f"tensor<4x{made}>" if kind == "parallel" else f"tensor<{made}>"
    return function(
        f"(%x: {t}) -> {u}",
        f"%e = tensor.empty() : {u}",
        f"%r = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<{out}>],",
        f'  iterator_types = ["{kind}"]}} ins(%x : {t}) outs(%e : {u}) {{',
        f"^bb0(%a: {given}, %b: {made}):",
        f"  %m = {operation} %a : {given} to {made}",
        f"  linalg.yield %m : {made}",
        f"}} -> {u}",
        f"util.return %r : {u}",
    )


def test_an_integer_is_rounded_in_bits() -> None:
    assert_expected_inline(
        text_through(loop("i64", "bf16", "arith.sitofp"), round_integers),
        """\
module {
  util.func public @main(%arg0: tensor<4xi64>) -> tensor<4xbf16> {
    %0 = tensor.empty() : tensor<4xbf16>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
        iterator_types = ["parallel"]} ins(%arg0 : tensor<4xi64>) outs(%0 : tensor<4xbf16>) {
    ^bb0(%in: i64, %out: bf16):
      %2 = arith.sitofp %in : i64 to f32
      %3 = arith.bitcast %2 : f32 to i32
      %c16_i32 = arith.constant 16 : i32
      %4 = arith.shrui %3, %c16_i32 : i32
      %c1_i32 = arith.constant 1 : i32
      %5 = arith.andi %4, %c1_i32 : i32
      %c32767_i32 = arith.constant 32767 : i32
      %6 = arith.addi %3, %c32767_i32 : i32
      %7 = arith.addi %6, %5 : i32
      %8 = arith.shrui %7, %c16_i32 : i32
      %9 = arith.trunci %8 : i32 to i16
      %10 = arith.bitcast %9 : i16 to bf16
      linalg.yield %10 : bf16
    } -> tensor<4xbf16>
    util.return %1 : tensor<4xbf16>
  }
}
""",
    )


def test_a_rounding_is_kept_by_a_shift() -> None:
    assert_expected_inline(
        text_through(loop("bf16", "f32", "arith.extf"), keep_roundings),
        """\
module {
  util.func public @main(%arg0: tensor<4xbf16>) -> tensor<4xf32> {
    %0 = tensor.empty() : tensor<4xf32>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
        iterator_types = ["parallel"]} ins(%arg0 : tensor<4xbf16>) outs(%0 : tensor<4xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %2 = arith.bitcast %in : bf16 to i16
      %3 = arith.extui %2 : i16 to i32
      %c16_i32 = arith.constant 16 : i32
      %4 = arith.shli %3, %c16_i32 : i32
      %5 = arith.bitcast %4 : i32 to f32
      linalg.yield %5 : f32
    } -> tensor<4xf32>
    util.return %1 : tensor<4xf32>
  }
}
""",
    )


OTHERS = [
    loop("i64", "f32", "arith.sitofp"),
    loop("f16", "f32", "arith.extf"),
    # By its conversion, the compiler recognises a contraction.
    loop("bf16", "f32", "arith.extf", "reduction"),
    function(
        "(%x: tensor<2x3xbf16>, %y: tensor<3x4xbf16>, %z: tensor<2x4xf32>) -> tensor<2x4xf32>",
        "%r = linalg.matmul ins(%x, %y : tensor<2x3xbf16>, tensor<3x4xbf16>)",
        "  outs(%z : tensor<2x4xf32>) -> tensor<2x4xf32>",
        "util.return %r : tensor<2x4xf32>",
    ),
]


@pytest.mark.parametrize("text", OTHERS, ids=["to float32", "float16", "a sum", "a product"])
def test_other_conversions_stay(text: str) -> None:
    assert text_through(text, round_integers, keep_roundings) == text_through(text)


def computed(given: np.ndarray, from_: DType, to: DType) -> np.ndarray:
    """What IREE makes of a conversion."""
    engine = Iree()
    x, y = Port("x", from_, given.shape), Port("y", to, given.shape)
    program = module(f"%y = stablehlo.convert %x : ({tensor(x)}) -> {tensor(y)}", (x,), (y,))
    executable = engine.load(engine.compile(program, CPU), program, CPU, {})
    (result,) = executable([engine.from_tensor(given, CPU)])
    return engine.to_numpy(result)


def test_widening_is_exact_for_every_value() -> None:
    given = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    bits = computed(given, DType.BFLOAT16, DType.FLOAT32).view(np.uint32)
    np.testing.assert_array_equal(bits, np.arange(1 << 16, dtype=np.uint32) << 16)


def test_integers_are_rounded_twice_as_in_eager() -> None:
    near = 2 ** np.arange(8, 63)[:, None] + 2 ** np.arange(54)[None, :]
    given = np.concatenate([near.ravel(), -near.ravel(), np.arange(-600, 600)]).astype(np.int64)
    wanted = given.astype(np.float32).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(computed(given, DType.INT64, DType.BFLOAT16), wanted)


@pytest.mark.parametrize("operation", ["math.ceil", "arith.negf"])
def test_an_operation_on_bfloat16_reads_bits_and_rounds(operation: str) -> None:
    made = text_through(loop("bf16", "bf16", operation).replace(" : bf16 to bf16", " : bf16"), keep_roundings)
    assert f"{operation} %5 : f32" in made
    assert "arith.truncf %6 : f32 to bf16" in made


def test_a_quotient_is_rounded_before_its_floor_is_taken() -> None:
    engine, rng = Iree(), np.random.default_rng(0)
    ports = [Port(name, DType.BFLOAT16, (4000,)) for name in "xyz"]
    t = tensor(ports[0])
    body = f"%q = stablehlo.divide %x, %y : {t}\n%z = stablehlo.floor %q : {t}"
    program = module(body, tuple(ports[:2]), tuple(ports[2:]))
    x, y = ((rng.standard_normal(4000) * scale).astype(ml_dtypes.bfloat16) for scale in (20, 3))
    executable = engine.load(engine.compile(program, CPU), program, CPU, {})
    (result,) = executable([engine.from_tensor(array, CPU) for array in (x, y)])
    np.testing.assert_array_equal(engine.to_numpy(result), np.floor(x / y))
