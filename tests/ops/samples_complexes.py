"""Samples of `lowering/stablehlo/ops/complexes.py`."""

from __future__ import annotations

import torch

from tests.ops.data import C64, C128, F32, F64, complexes, floats, integers, special
from tests.ops.driver import Sample

Z, W = complexes(3, 4), complexes(5, dtype=C128)
CORNERS = torch.complex(special()[:, None].expand(16, 16).contiguous(), special().expand(16, 16).contiguous())

UNARY = (
    "real imag view_as_real view_as_real_copy _conj _conj_copy _conj_physical conj conj_physical angle "
    "_neg_view _neg_view_copy"
)

SAMPLES: list[Sample] = [
    *(Sample(f"aten.{name}.default", (value,)) for name in UNARY.split() for value in (Z, W, complexes(0))),
    Sample("aten.complex.default", (floats(3, 4), floats(4))),
    Sample("aten.complex.default", (floats(5, dtype=F64), floats(5, dtype=F64))),
    Sample("aten.polar.default", (floats(3, 4), floats(4))),
    Sample("aten.polar.default", (floats(5, dtype=F64), floats(5, dtype=F64))),
    *(
        Sample(f"aten.{name}.default", (floats(3, 2, dtype=dtype),))
        for name in ("view_as_complex", "view_as_complex_copy")
        for dtype in (F32, F64)
    ),
    *(
        Sample(f"aten.{name}.default", (floats(4),))
        for name in ("real", "conj", "conj_physical", "_neg_view")
    ),
    Sample("aten.view_as_real.default", (complexes(),)),
    Sample("aten.angle.default", (special(),)),
    Sample("aten.angle.default", (CORNERS,)),
    Sample("aten.angle.default", (integers(5),)),
    Sample("aten.angle.default", (floats(5, dtype=F64),)),
    *(Sample(f"aten.{name}.Tensor", (Z, complexes(4))) for name in ("add", "mul", "div")),
    # First, for the first of each runs on IREE, whose own squares overflow.
    Sample("aten.abs.default", (torch.tensor([1e30 + 1e30j, -3 + 4j, 1e-30j]),)),
    Sample("aten.abs.default", (CORNERS,)),
    Sample("aten.abs.default", (complexes(5, dtype=C64),)),
]
