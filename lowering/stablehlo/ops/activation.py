"""Activation functions, and dropout where it is not a random choice."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value

Function = Callable[[Context, Value], Value]


def log_sigmoid(cx: Context, x: Value) -> Value:
    return cx.minimum(x, 0) - cx.log1p(cx.exp(-cx.abs(x)))


def hard_sigmoid(cx: Context, x: Value) -> Value:
    return cx.clamp(0, x + 3, 6) / 6


ACTIVATIONS: dict[str, Function] = {
    "hardsigmoid": hard_sigmoid,
    "hardswish": lambda cx, x: x * cx.clamp(0, x + 3, 6) / 6,
    "log_sigmoid": log_sigmoid,
    "mish": lambda cx, x: x * cx.tanh(cx.log1p(cx.exp(x))),
    "relu": lambda cx, x: cx.maximum(x, 0),
    "relu6": lambda cx, x: cx.clamp(0, x, 6),
    "silu": lambda cx, x: x * cx.logistic(x),
}


def _activation(fn: Function) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return cx.pointwise(lambda x: fn(cx, x), self, out=cx.out.dtype)

    return rule


add_rules((f"aten.{name}.default", _activation(fn)) for name, fn in ACTIVATIONS.items())


@lowers("aten.gelu.default")
def gelu(cx: Context, self: Value, approximate: str) -> Value:
    def exact(x: Value) -> Value:
        return x * 0.5 * (1 + cx.erf(x * (1 / sqrt(2))))

    def by_tanh(x: Value) -> Value:
        return 0.5 * x * (1 + cx.tanh(sqrt(2 / pi) * (x + 0.044715 * (x * x * x))))

    return cx.pointwise(by_tanh if approximate == "tanh" else exact, self, out=cx.out.dtype)


@lowers("aten.log_sigmoid_forward.default")
def log_sigmoid_forward(cx: Context, self: Value) -> tuple[Value, Value]:
    """The second result is what eager's CPU kernel keeps for the backward pass: exp(-|x|)."""
    kept = cx.pointwise(lambda x: cx.exp(-cx.abs(x)), self, out=self.dtype)
    return cx.pointwise(lambda x: log_sigmoid(cx, x), self, out=self.dtype), kept


@lowers("aten.softplus.default")
def softplus(cx: Context, self: Value, beta: Scalar, threshold: Scalar) -> Value:
    def fn(x: Value) -> Value:
        scaled = x * beta
        return cx.select(scaled > threshold, x, cx.log1p(cx.exp(scaled)) / beta)

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.hardtanh.default")
def hardtanh(cx: Context, self: Value, min_val: Scalar, max_val: Scalar) -> Value:
    return cx.clamp(min_val, self, max_val)


def scaled_elu(cx: Context, self: Value, alpha: float, scale: float, input_scale: float) -> Value:
    def fn(x: Value) -> Value:
        below = cx.expm1(x * input_scale) * (alpha * scale)
        return cx.select(x < 0, below, x * scale)

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.elu.default")
def elu(cx: Context, self: Value, alpha: Scalar, scale: Scalar, input_scale: Scalar) -> Value:
    return scaled_elu(cx, self, alpha, scale, input_scale)  # pyright: ignore[reportArgumentType]


@lowers("aten.selu.default")
def selu(cx: Context, self: Value) -> Value:
    return scaled_elu(cx, self, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@lowers("aten.celu.default")
def celu(cx: Context, self: Value, alpha: float) -> Value:
    return scaled_elu(cx, self, alpha, 1.0, 1 / alpha)


@lowers("aten.leaky_relu.default")
def leaky_relu(cx: Context, self: Value, negative_slope: Scalar) -> Value:
    return cx.pointwise(lambda x: cx.select(x > 0, x, x * negative_slope), self, out=cx.out.dtype)


@lowers("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(cx: Context, self: Value, weight: Value) -> Value:
    """One weight, or one for each channel (axis 1); the kernel's weight broadcasts already."""
    if weight.size == 1:
        weight = cx.reshape(weight, ())
    elif weight.rank == 1 and self.rank > 2:
        weight = cx.reshape(weight, (-1, *(1,) * (self.rank - 2)))
    return cx.pointwise(lambda x, w: cx.select(x > 0, x, w * x), self, weight, out=cx.out.dtype)


@lowers("aten.rrelu.default")
def rrelu(cx: Context, self: Value, lower: float, upper: float, training: bool) -> Value:
    if training:
        raise Unsupported("rrelu in train mode draws random slopes")
    return leaky_relu(cx, self, (lower + upper) / 2)


@lowers("aten.threshold.default")
def threshold(cx: Context, self: Value, threshold: Scalar, value: Scalar) -> Value:
    return cx.select(self <= threshold, value, self)


@lowers("aten.hardshrink.default")
def hardshrink(cx: Context, self: Value, lambd: Scalar) -> Value:
    return cx.select(cx.abs(self) <= lambd, 0, self)


@lowers("aten.softshrink.default")
def softshrink(cx: Context, self: Value, lambd: Scalar) -> Value:
    def fn(x: Value) -> Value:
        # x * 0 keeps NaN.
        return cx.select(x > lambd, x - lambd, cx.select(x < -lambd, x + lambd, x * 0))

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.glu.default")
def glu(cx: Context, self: Value, dim: int) -> Value:
    half = self.shape[cx.axis(dim, self.rank)] // 2
    value, gate = cx.slice_axis(self, dim, 0, half), cx.slice_axis(self, dim, half, 2 * half)
    return cx.pointwise(lambda a, b: a * cx.logistic(b), value, gate, out=cx.out.dtype)


@lowers(
    *(
        f"aten.{name}.default"
        for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    )
)
def dropout(cx: Context, input: Value, p: float, train: bool) -> Value:
    """Without a random choice: the input itself, or all of it dropped (NaN and infinities give NaN)."""
    if not train or p == 0:
        return input
    if p == 1:
        return input * 0
    raise Unsupported("dropout in train mode draws random numbers")


@lowers("aten.native_dropout.default")
def native_dropout(cx: Context, input: Value, p: float, train: bool | None) -> tuple[Value, Value]:
    """Train mode draws from the generator even where p leaves no choice."""
    if train or train is None:
        raise Unsupported("dropout in train mode draws random numbers")
    return input, cx.constant(True, DType.BOOL, input.shape)
