"""Casts, copies and what only renames a tensor."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


def cast(cx: Context, value: Value, dtype: DType) -> Value:
    """Convert as torch does; its float8_e4m3fn saturates where StableHLO's overflow is NaN."""
    if dtype is DType.FLOAT8_E4M3FN and value.dtype is not dtype:
        return cx.convert(cx.clamp(-448.0, cx.convert(value, DType.FLOAT32), 448.0), dtype)
    return cx.convert(value, dtype)


@lowers("aten.to.dtype", "aten._to_copy.default", "aten.to.dtype_layout", "aten.to.device")
def to(cx: Context, self: Value, dtype: DType | None) -> Value:
    return cast(cx, self, cx.out.dtype)


@lowers("aten.to.other", "aten.type_as.default")
def to_other(cx: Context, self: Value, other: Value) -> Value:
    return cast(cx, self, cx.out.dtype)


@lowers(
    *(
        f"aten._cast_{name}.default"
        for name in ("Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
    )
)
def cast_to(cx: Context, self: Value) -> Value:
    return cast(cx, self, cx.out.dtype)


@lowers(
    "aten.alias.default",
    "aten.alias_copy.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.detach_copy.default",
    "aten.lift.default",
    "aten.lift_fresh.default",
    "aten.lift_fresh_copy.default",
    "aten.resolve_conj.default",
    "aten.resolve_neg.default",
)
def same(cx: Context, self: Value) -> Value:
    return self


@lowers("aten.copy.default")
def copy(cx: Context, self: Value, src: Value) -> Value:
    """`src`, in the type and shape of `self`."""
    return cx.broadcast(cast(cx, src, self.dtype), self.shape)
