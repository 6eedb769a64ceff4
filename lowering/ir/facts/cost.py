"""Which operators are dear: by their names, the cost relative to an elementwise one of the same sizes."""

from __future__ import annotations

import re

_DEAR = re.compile(r"(aten|higher_order)\.\w*(mm|bmm|matmul|linear|conv|attention|einsum|lstm|gru|scan|loop)")


def is_dear(target: str) -> bool:
    """Whether one call is enough to pay for a module of its own: products of matrices, and loops."""
    return _DEAR.match(target) is not None
