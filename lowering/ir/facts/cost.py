"""Which operators are dear, and which have kernels that an engine may not match."""

from __future__ import annotations

import re

_DEAR = re.compile(r"(aten|higher_order)\.\w*(mm|bmm|matmul|linear|conv|attention|einsum|lstm|gru|scan|loop)")
_ATTENTION = re.compile(r"aten\._?scaled_dot_product\w*attention")
_CONVOLUTION = re.compile(r"aten\.(_?convolution|conv[1-3]d)\b")


def is_dear(target: str) -> bool:
    """Whether one call is enough to pay for a module of its own: products of matrices, and loops."""
    return _DEAR.match(target) is not None


def is_attention(target: str) -> bool:
    """Whether an operator is scaled dot-product attention, in one of its forms."""
    return _ATTENTION.match(target) is not None


def is_convolution(target: str) -> bool:
    """Whether an operator is a convolution, forward."""
    return _CONVOLUTION.match(target) is not None
