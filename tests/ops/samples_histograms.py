"""Samples of `lowering/stablehlo/ops/histograms.py`, but for histc's."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, floats
from tests.ops.driver import Sample

# Rounded, so that some lie on edges.
X = floats(7, 9).mul(10).round().div(10)
WEIGHT = floats(7, 9, low=0)
EDGES = torch.tensor([-2.0, -0.5, 0.0, 0.1, 1.3, 9.0])
POINTS, MASSES = floats(20, 3), floats(20, low=0)

WEIGHTED: list[dict[str, Any]] = [{}, {"weight": WEIGHT}, {"weight": WEIGHT, "density": True}]
RANGED: list[dict[str, Any]] = [{"range": bounds} for bounds in ((-1.0, 1.5), (0.5, 0.5))]
GRIDS: list[dict[str, Any]] = [
    {},
    {"range": (-1.0, 1.0, -2.0, 2.0, 0.0, 1.0)},
    {"weight": MASSES, "density": True},
]

SAMPLES = [
    *(Sample("aten.histogram.bin_ct", (X, 5), options) for options in (*WEIGHTED, *RANGED)),
    Sample("aten.histogram.bin_ct", (X.double(), 100)),
    Sample("aten.histogram.bin_ct", (torch.full((3,), 2.0), 4)),
    Sample("aten.histogram.bin_ct", (torch.empty(0), 4)),
    *(Sample("aten.histogram.bins_tensor", (X, EDGES), options) for options in WEIGHTED),
    *(
        Sample(f"aten._histogramdd_{name}.default", (POINTS.to(dtype), [2, 3, 4]), options)
        for name in ("bin_edges", "from_bin_cts")
        for options, dtype in ((GRIDS[0], F32), (GRIDS[0], F64), (GRIDS[1], F32), (GRIDS[2], F32))
    ),
    Sample("aten._histogramdd_from_bin_tensors.default", (POINTS, [EDGES, EDGES, EDGES[1:4]])),
    Sample("aten._histogramdd_from_bin_tensors.default", (POINTS, [EDGES, EDGES, EDGES[1:4]]), GRIDS[2]),
    # Few halves are counted in halves without loss, and placed with their roundings.
    *(
        Sample("aten.histc.default", (floats(250).to(dtype), bins, *bounds))
        for dtype in (F16, BF16)
        for bins, bounds in ((10, ()), (7, (-1, 2.5)))
    ),
]
