"""Samples of `lowering/stablehlo/ops/bessel.py`."""

from __future__ import annotations

import torch

from tests.ops.data import F32, F64, I64, INF, NAN, U8, floats, integers
from tests.ops.driver import Sample

# Function -> the interval that is sampled: both sides of where its forms meet.
INTERVALS = {
    "bessel_j0": (-20, 20),
    "bessel_j1": (-20, 20),
    "bessel_y0": (0, 20),
    "bessel_y1": (0, 20),
    "modified_bessel_k0": (0, 9),
    "modified_bessel_k1": (0, 9),
    "scaled_modified_bessel_k0": (0, 9),
    "scaled_modified_bessel_k1": (0, 9),
    "airy_ai": (-9, 9),
    "erfcx": (-5, 30),
}
EDGES = torch.tensor([0.0, -0.0, 1e-6, -1.0, 2.0, 5.0, -2.09, 2.09, 0.46875, 4.0, 90.0, NAN])
# Where eager has a value: K0 and K1 of large arguments underflow, waves at infinity have none.
AT_INFINITY = torch.tensor([INF, -INF])

SAMPLES: list[Sample] = [
    Sample(f"aten.special_{name}.default", (x,))
    for name, (low, high) in INTERVALS.items()
    for x in (
        floats(40, 5, low=low, high=high, dtype=F32),
        floats(40, 5, low=low, high=high, dtype=F64),
        EDGES,
        EDGES.to(F64),
        AT_INFINITY,
        integers(6, dtype=I64),
        integers(6, low=0, high=200, dtype=U8),
        integers(6, low=0, high=1, dtype=I64) != 0,
        torch.tensor(1.5),
        torch.empty(0, 3),
    )
]
