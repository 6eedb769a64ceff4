"""Contractions: dot products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.build.reduce import padding_attribute
from lowering.stablehlo.build.shape import Shapes
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.size_questions import are_equal, fits
from lowering.stablehlo.size_values import sizes_tensor
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, tensor_type


class Contractions(Shapes):
    """Dot and convolution vocabulary."""

    def dot_general(
        self,
        lhs: Value,
        rhs: Value,
        contract: tuple[Sequence[int], Sequence[int]],
        batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
        out: DType | None = None,
    ) -> Value:
        """Contract and batch over these (lhs, rhs) axes; the result is [batch..., lhs rest..., rhs rest...].

        `out`: the accumulation and result type; float32 for half operands (eager accumulates halves in
        float32 and rounds once; a half-typed dot would also be many times slower on CPU), else the operands'.
        """
        out = out or (DType.FLOAT32 if lhs.dtype.is_half else lhs.dtype)
        for left, right in zip((*batch[0], *contract[0]), (*batch[1], *contract[1]), strict=True):
            # Sizes that are known are the verifier's to compare.
            if any_symbolic([lhs.shape[left], rhs.shape[right]]):
                are_equal([lhs.shape[left]], [rhs.shape[right]])
        shape = [lhs.shape[axis] for axis in batch[0]]
        for value, used in ((lhs, {*batch[0], *contract[0]}), (rhs, {*batch[1], *contract[1]})):
            shape += [size for axis, size in enumerate(value.shape) if axis not in used]
        numbers = stablehlo.DotDimensionNumbers.get(
            list(batch[0]), list(batch[1]), list(contract[0]), list(contract[1])
        )
        return Value(stablehlo.dot_general(tensor_type(out, tuple(shape)), lhs.ir, rhs.ir, numbers), shape)

    def convolution(
        self,
        lhs: Value,
        rhs: Value,
        *,
        layout: tuple[str, str, str],
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        lhs_dilation: Sequence[int],
        rhs_dilation: Sequence[int],
        groups: int = 1,
        reverse: bool = False,
        out: DType | None = None,
    ) -> Value:
        """Convolve. `layout` names the axes of lhs, rhs and result, spatial ones as digits: `("bf01", "oi01",
        "bf01")` is torch's. `reverse` flips the kernel (a true convolution). `out` as for `dot_general`.
        """
        out = out or (DType.FLOAT32 if lhs.dtype.is_half else lhs.dtype)
        spatial = len(strides)
        specs = [
            ([text.index(str(i)) for i in range(spatial)], text.index(a), text.index(b))
            for text, a, b in zip(layout, "bob", "fif", strict=True)
        ]
        (lhs_spatial, lhs_b, lhs_f), (rhs_spatial, rhs_o, rhs_i), (out_spatial, out_b, out_f) = specs
        shape = [0] * (spatial + 2)
        shape[out_b], shape[out_f] = lhs.shape[lhs_b], rhs.shape[rhs_o]
        for i in range(spatial):
            size, taps = lhs.shape[lhs_spatial[i]], rhs.shape[rhs_spatial[i]]
            span = ((size - 1) * lhs_dilation[i] + 1 if size else 0) + sum(padding[i])
            reach = (taps - 1) * rhs_dilation[i] + 1
            shape[out_spatial[i]] = (span - reach) // strides[i] + 1 if fits(reach, span) else 0
        numbers = stablehlo.ConvDimensionNumbers.get(
            lhs_b, lhs_f, lhs_spatial, rhs_i, rhs_o, rhs_spatial, out_b, out_f, out_spatial
        )
        made = tensor_type(out, tuple(shape))
        amounts = [amount for pair in padding for amount in pair]
        options: dict[str, Any] = {
            "feature_group_count": groups,
            "batch_group_count": 1,
            "window_strides": list(strides),
            "lhs_dilation": list(lhs_dilation),
            "rhs_dilation": list(rhs_dilation),
            "window_reversal": ir.DenseBoolArrayAttr.get([reverse] * spatial),
        }
        if any_symbolic(amounts):
            pairs = self.reshape(Value(sizes_tensor(amounts)), (spatial, 2)).ir
            numbers = {"dimension_numbers": numbers}
            return Value(stablehlo.dynamic_conv(made, lhs.ir, rhs.ir, pairs, **numbers, **options), shape)
        options["padding"] = padding_attribute(padding)
        return Value(stablehlo.convolution(made, lhs.ir, rhs.ir, numbers, **options), shape)
