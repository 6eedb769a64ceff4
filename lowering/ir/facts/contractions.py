"""Products of matrices, convolutions, recurrences and attention: which operators, and their operands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

LSTM = "aten.lstm.input"


class Operands(NamedTuple):
    """A product's operands by their names in the schema. `transposed`: the weight is [in, out]."""

    input: str
    weight: str
    bias: str | None
    transposed: bool


_PRODUCTS: Mapping[str, Operands] = {
    "aten.linear.default": Operands("input", "weight", "bias", False),
    "aten.addmm.default": Operands("mat1", "mat2", "self", True),
    "aten.mm.default": Operands("self", "mat2", None, True),
    "aten.matmul.default": Operands("self", "other", None, True),
}
# Convolutions whose kernel may have one or two axes.
_IMAGE_CONVOLUTIONS = frozenset(f"aten.{name}.default" for name in ("conv1d", "conv2d", "convolution"))
_ATTENTION = re.compile(r"aten\._?scaled_dot_product\w*attention")
_CONVOLUTION = re.compile(r"aten\.(_?convolution|conv[1-3]d)\b")


def product_operands(target: str) -> Operands | None:
    """The operands of a product with a matrix that may be a layer's weight; None for other operators."""
    return _PRODUCTS.get(target)


def is_convolution(target: str) -> bool:
    """Whether an operator is a convolution, forward."""
    return _CONVOLUTION.match(target) is not None


def may_convolve_images(target: str) -> bool:
    """Whether an operator is a convolution whose weight may be the kernel of lines or images."""
    return target in _IMAGE_CONVOLUTIONS


def is_attention(target: str) -> bool:
    """Whether an operator is scaled dot-product attention, in one of its forms."""
    return _ATTENTION.match(target) is not None
