"""Matrix products whose weights are small integers or float8, with the scales that give them their size."""

from __future__ import annotations

from collections.abc import Sequence

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.casts import cast
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.torch_build import int4_rows_at_a_time
from lowering.stablehlo.value import Value

F32 = DType.FLOAT32
_FLOAT8_RESULTS = (DType.FLOAT8_E4M3FN, DType.FLOAT8_E5M2)


@lowers("aten._weight_int8pack_mm.default")
def weight_int8pack_mm(cx: Context, self: Value, mat2: Value, scales: Value) -> Value:
    """[M, K] times int8 [N, K], each of the N columns scaled last, in float32."""
    product = cx.dot_general(cx.convert(self, F32), cx.convert(mat2, F32), ((1,), (1,)))
    return cx.convert(product * cx.reshape(cx.convert(scales, F32), (1, -1)), cx.out.dtype)


# ---- four bits ----


@lowers("aten._convert_weight_to_int4pack_for_cpu.default")
def convert_weight_to_int4pack_for_cpu(cx: Context, self: Value, innerKTiles: int) -> Value:
    """int32 [N, K] of 0 to 15, two rows to a byte: uint8 [N, K / 2], whose layout `_halves` describes."""
    count, inner = self.shape
    parts = []
    for start, rows, apart in _pieces(count):
        piece = cx.convert(cx.slice_axis(self, 0, start, start + rows), DType.UINT8)
        axes = (2, rows // 2, inner) if apart else (rows // 2, 2, inner)
        low, high = (_part(cx, cx.reshape(piece, axes), 0 if apart else 1, at) for at in (0, 1))
        packed = cx.shift_left(high, 4) | low
        parts.append(cx.reshape(cx.transpose(packed, (1, 0)), (-1,)))
    return cx.reshape(cx.concatenate(parts, 0), cx.out.shape)


@lowers("aten._weight_int4pack_mm_for_cpu.default")
def weight_int4pack_mm_for_cpu(
    cx: Context, self: Value, mat2: Value, qGroupSize: int, qScaleAndZeros: Value
) -> Value:
    """[M, K] times int4 [N, K], of which every `qGroupSize` in a row share a scale and a zero of
    [K / qGroupSize, N, 2]: `(number - 8) * scale + zero`, in float32."""
    count, inner = mat2.shape[0], self.shape[1]
    numbers = cx.convert(_unpacked(cx, mat2, count, inner), F32) - 8.0
    scales, zeros = (_part(cx, cx.convert(qScaleAndZeros, F32), 2, at) for at in (0, 1))
    grouped = cx.reshape(numbers, (count, -1, qGroupSize))
    scale, zero = (cx.unsqueeze(cx.transpose(part, (1, 0)), 2) for part in (scales, zeros))
    weight = cx.reshape(grouped * scale + zero, (count, inner))
    return cx.convert(cx.dot_general(cx.convert(self, F32), weight, ((1,), (1,))), cx.out.dtype)


def _unpacked(cx: Context, packed: Value, count: int, inner: int) -> Value:
    """uint8 [N, K] from two rows to a byte."""
    flat, parts = cx.reshape(packed, (-1,)), []
    for start, rows, apart in _pieces(count):
        size = rows * inner // 2
        piece = cx.slice_axis(flat, 0, start * inner // 2, start * inner // 2 + size)
        pairs = cx.transpose(cx.reshape(piece, (inner, rows // 2)), (1, 0))
        halves = [cx.unsqueeze(half, 0 if apart else 1) for half in _halves(cx, pairs)]
        parts.append(cx.reshape(cx.concatenate(halves, 0 if apart else 1), (rows, inner)))
    return cx.concatenate(parts, 0)


def _halves(cx: Context, packed: Value) -> tuple[Value, Value]:
    """The low and the high four bits."""
    return packed & 15, cx.shift_right_logical(packed, 4)


def _pieces(count: int) -> list[tuple[int, int, bool]]:
    """First row and number of rows of the pieces that are packed as one, and which of its rows share a byte:
    one of the first half and one of the second (True), or neighbours.

    torch's kernels for vectors take a whole block the first way, a rest of 16, 32 or 48 rows the other.
    """
    block, apart = int4_rows_at_a_time()
    return [
        (start, min(block, count - start), apart and count - start >= block)
        for start in range(0, count, block)
    ]


def _part(cx: Context, value: Value, axis: int, at: int) -> Value:
    return cx.squeeze(cx.slice_axis(value, axis, at, at + 1), axis)


# ---- float8 ----


@lowers("aten._scaled_mm.default")
def scaled_mm(
    cx: Context,
    self: Value,
    mat2: Value,
    scale_a: Value,
    scale_b: Value,
    bias: Value | None = None,
    scale_result: Value | None = None,
    out_dtype: DType | None = None,
    use_fast_accum: bool = False,
) -> Value:
    """One scale for each operand, or one for each row of the first and each column of the second."""
    result = _scaled_product(cx, self, mat2, scale_a, scale_b, bias)
    if scale_result is not None and cx.out.dtype in _FLOAT8_RESULTS:
        result = result * (1.0 / cx.reshape(scale_result, ()))
    return cast(cx, result, cx.out.dtype)


@lowers("aten._scaled_mm_v2.default")
def scaled_mm_v2(
    cx: Context,
    self: Value,
    mat2: Value,
    scale_a: Sequence[Value],
    recipe_a: Sequence[int],
    swizzle_a: Sequence[int],
    scale_b: Sequence[Value],
    recipe_b: Sequence[int],
    swizzle_b: Sequence[int],
    bias: Value | None,
    out_dtype: DType | None,
    contraction_dim: Sequence[int] = (),
    use_fast_accum: bool = False,
) -> Value:
    """The recipes 0, one scale, and 1, one for each row or column; torch has no others on CPU."""
    if (tuple(recipe_a), tuple(recipe_b)) not in (((0,), (0,)), ((1,), (1,))):
        raise Unsupported(f"the recipes {tuple(recipe_a)} and {tuple(recipe_b)} of scales")
    if any((*swizzle_a, *swizzle_b)):
        raise Unsupported("scales that are swizzled")
    return cast(cx, _scaled_product(cx, self, mat2, scale_a[0], scale_b[0], bias), cx.out.dtype)


def _scaled_product(
    cx: Context, a: Value, b: Value, scale_a: Value, scale_b: Value, bias: Value | None
) -> Value:
    """In float32, the operands scaled before they are multiplied, as eager does."""
    left, right = (
        cx.convert(value, F32) * (cx.reshape(scale, ()) if scale.size == 1 else scale)
        for value, scale in ((a, scale_a), (b, scale_b))
    )
    result = cx.dot_general(left, right, ((1,), (0,)))
    return result if bias is None else result + cx.reshape(cx.convert(bias, F32), (1, -1))
