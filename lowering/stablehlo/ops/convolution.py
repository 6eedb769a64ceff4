"""Convolutions: groups, dilation, stride, transposition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.spatial import per_axis
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.size_questions import at_least
from lowering.stablehlo.value import Value


def _layout(spatial: int) -> tuple[str, str, str]:
    """The axes of input, kernel and result: torch's own."""
    digits = "".join(map(str, range(spatial)))
    return f"bf{digits}", f"oi{digits}", f"bf{digits}"


@lowers("aten.convolution.default", "aten._convolution.default", "aten._convolution.deprecated")
def convolution(
    cx: Context,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    benchmark: bool = False,
    deterministic: bool = False,
    cudnn_enabled: bool = False,
    allow_tf32: bool = False,
) -> Value:
    if transposed:
        return transposed_convolution(
            cx, input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return forward_convolution(cx, input, weight, bias, stride, padding, dilation, groups)


@lowers("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default",
        "aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding")  # fmt: skip
def forward_convolution(
    cx: Context,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
) -> Value:
    spatial = weight.rank - 2
    dilation = per_axis(dilation, spatial)
    reaches = [step * (taps - 1) for step, taps in zip(dilation, weight.shape[2:], strict=True)]
    if padding == "same":
        # An odd total puts the extra element after the input.
        pads = [(reach // 2, reach - reach // 2) for reach in reaches]
    else:
        amounts = (0,) * spatial if isinstance(padding, str) else per_axis(padding, spatial)
        pads = [(amount, amount) for amount in amounts]
    return _batched(
        cx,
        input,
        spatial,
        lambda batch: _convolve(
            cx, batch, weight, bias, per_axis(stride, spatial), pads, (1,) * spatial, dilation, groups
        ),
    )


@lowers("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def transposed_convolution(
    cx: Context,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
    dilation: Sequence[int],
) -> Value:
    """A convolution of the input, spread out by `stride`, with the mirrored kernel."""
    spatial = weight.rank - 2
    stride, padding = per_axis(stride, spatial), per_axis(padding, spatial)
    dilation, output_padding = per_axis(dilation, spatial), per_axis(output_padding, spatial)
    if input.dtype.is_half and any(o >= s for o, s in zip(output_padding, stride, strict=True)):
        raise Unsupported("eager adds up halves in halves where the output is padded by a stride or more")
    taps = weight.shape[2:]
    reaches = [step * (size - 1) for step, size in zip(dilation, taps, strict=True)]
    if input.dtype is DType.FLOAT16 and any(r >= s for r, s in zip(reaches, stride, strict=True)):
        raise Unsupported("eager adds up overlapping windows of float16 in float16")
    pads = []
    for axis in range(spatial):
        low = dilation[axis] * (taps[axis] - 1) - padding[axis]
        pads.append((low, low + output_padding[axis]))
    kernel = _mirror(cx, weight, groups)
    # Windows move by one, so an amount of padding below zero is as well cropped from the result.
    crop = [(at_least(-low, 0), at_least(-high, 0)) for low, high in pads]
    pads = [(at_least(low, 0), at_least(high, 0)) for low, high in pads]

    def convolve(batch: Value) -> Value:
        result = _convolve(cx, batch, kernel, bias, (1,) * spatial, pads, stride, dilation, groups)
        lows, highs = [0, 0, *(-low for low, _ in crop)], [0, 0, *(-high for _, high in crop)]
        limits = [size + high for size, high in zip(result.shape, highs, strict=True)]
        return cx.slice(result, [-low for low in lows], limits)

    return _batched(cx, input, spatial, convolve)


def _mirror(cx: Context, weight: Value, groups: int) -> Value:
    """A transposed kernel [in, out/groups, taps...] as the forward one [out, in/groups, flipped taps...]."""
    inputs, outputs, *taps = weight.shape
    spatial = range(3, 3 + len(taps))
    grouped = cx.reshape(weight, (groups, inputs // groups, outputs, *taps))
    swapped = cx.transpose(grouped, (0, 2, 1, *spatial))
    kernel = cx.reshape(swapped, (groups * outputs, inputs // groups, *taps))
    return cx.reverse(kernel, range(2, kernel.rank))


def _batched(cx: Context, input: Value, spatial: int, convolve: Any) -> Value:
    """Apply to [batch, channels, space...], adding and dropping the batch axis of an input without one."""
    if input.rank == spatial + 2:
        return convolve(input)
    return cx.squeeze(convolve(cx.unsqueeze(input, 0)), 0)


def _convolve(
    cx: Context,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    groups: int,
) -> Value:
    """Convolve and add the bias in the accumulation type, then round once."""
    if input.dtype is not weight.dtype:
        raise Unsupported(f"a convolution of {input.dtype} with {weight.dtype}")

    def convolve(lhs: Value, rhs: Value) -> Value:
        return cx.convolution(
            lhs, rhs, layout=_layout(len(stride)), strides=stride, padding=pads,
            lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation, groups=groups,
        )  # fmt: skip

    if input.dtype.is_complex:
        # Fast algorithms are for real numbers.
        (a, b), (c, d) = ((cx.real(value), cx.imag(value)) for value in (input, weight))
        result = cx.complex(convolve(a, c) - convolve(b, d), convolve(a, d) + convolve(b, c))
    else:
        result = convolve(input, weight)
    if bias is not None:
        offset = cx.convert(bias, result.dtype)
        result = result + cx.broadcast_in_dim(offset, result.shape, (1,))
    return cx.convert(result, cx.out.dtype)


@lowers("aten.conv_tbc.default")
def conv_tbc(cx: Context, self: Value, weight: Value, bias: Value, pad: int) -> Value:
    """Time, batch, channels; the kernel is [taps, in, out]."""
    result = cx.convolution(
        self, weight, layout=("0bf", "0io", "0bf"), strides=(1,), padding=[(pad, pad)],
        lhs_dilation=(1,), rhs_dilation=(1,),
    )  # fmt: skip
    return cx.convert(result + cx.convert(bias, result.dtype), cx.out.dtype)


def _slow(transposed: bool) -> Any:
    """The named CPU kernels, which state the kernel's sizes once more."""

    def plain(
        cx: Context,
        self: Value,
        weight: Value,
        kernel_size: Sequence[int],
        bias: Value | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int] = (1,),
    ) -> Value:
        return forward_convolution(cx, self, weight, bias, stride, padding, dilation, 1)

    def mirrored(
        cx: Context,
        self: Value,
        weight: Value,
        kernel_size: Sequence[int],
        bias: Value | None,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Value:
        return transposed_convolution(cx, self, weight, bias, stride, padding, output_padding, 1, dilation)

    return mirrored if transposed else plain


add_rules(
    (f"aten.{name}.default", _slow(name.startswith("slow_conv_transpose")))
    for name in ("thnn_conv2d", "_slow_conv2d_forward", "slow_conv_dilated2d", "slow_conv3d",
                 "slow_conv3d_forward", "slow_conv_transpose2d", "slow_conv_transpose3d")
)  # fmt: skip
