"""Samples of `lowering/stablehlo/ops/polynomials.py`.

A NaN argument of degree 2 or more is undefined in torch.
"""

from __future__ import annotations

import torch

from tests.ops.data import F32, F64, INF, NAN, U8, floats, integers
from tests.ops.driver import Sample

KINDS = [f"{shift}chebyshev_polynomial_{kind}" for shift in ("", "shifted_") for kind in "tuvw"]
OTHERS = ["hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]

POINTS = torch.tensor([[-1.5], [-1.0], [-0.5], [0.0], [0.25], [0.5], [0.99], [1.0], [1.5], [INF]])
DEGREES = torch.arange(-2.0, 13.0)

SAMPLES: list[Sample] = [
    Sample(f"aten.special_{name}.{overload}", arguments)
    for name in KINDS + OTHERS
    for overload, arguments in (
        ("default", (floats(9, 8, low=-2, high=2), integers(8, low=-1, high=9).to(F32))),
        ("default", (POINTS, DEGREES)),
        ("default", (POINTS.to(F64), DEGREES.to(F64) + 0.5)),
        ("default", (torch.tensor([NAN, NAN, NAN]), torch.tensor([-1.0, 0.0, 1.0]))),
        ("default", (integers(6, 5), integers(5, low=-2, high=4))),
        ("default", (integers(6, low=0, high=3, dtype=U8), torch.tensor(3))),
        ("default", (torch.empty(0, 3), torch.tensor(2.0))),
        ("n_scalar", (floats(7, low=-1, high=1), 3)),
        ("x_scalar", (0.25, DEGREES)),
    )
]
SAMPLES += [
    # Torch refuses no degree: above its limit there is none, and at an end any is known at once.
    Sample("aten.special_hermite_polynomial_h.n_scalar", (torch.tensor([0.5, 0.0]), 129)),
    Sample("aten.special_hermite_polynomial_he.n_scalar", (torch.tensor([0.5, 0.0], dtype=F64), 513)),
    Sample("aten.special_chebyshev_polynomial_t.n_scalar", (torch.tensor([1.0, -1.0]), 1_000_001)),
    Sample("aten.special_legendre_polynomial_p.n_scalar", (torch.tensor([1.0, -1.0, INF]), 1_000_001)),
]
