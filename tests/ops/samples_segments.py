"""Samples of `lowering/stablehlo/ops/segments.py`."""

from __future__ import annotations

import torch

from tests.ops.data import BF16, F16, F32, F64, I32, NAN, floats
from tests.ops.driver import Sample

ROWS = floats(10, 2)
HOLES = ROWS.index_fill(0, torch.tensor([4]), NAN)
LENGTHS = torch.tensor([3, 0, 5, 2])
CUBE = floats(2, 8, 3)
MANY = torch.tensor([[2, 0, 5, 1], [8, 0, 0, 0]])
OFFSETS = torch.tensor([[0, 2, 2, 7, 8], [0, 3, 3, 4, 8]])

SAMPLES = [
    Sample("aten.segment_reduce.default", (x.to(dtype), reduce), {"initial": initial} | bounds)
    for reduce in ("sum", "mean", "prod", "max", "min")
    for initial, dtype in ((None, F32), (2.5, F32), (None, F16), (None, BF16), (1, F64))
    for x, bounds in ((ROWS, {"lengths": LENGTHS}), (CUBE, {"offsets": OFFSETS, "axis": 1}))
] + [
    Sample("aten.segment_reduce.default", (HOLES, "max"), {"lengths": LENGTHS.to(I32)}),
    Sample("aten.segment_reduce.default", (CUBE, "sum"), {"lengths": MANY, "axis": 1}),
    Sample("aten.segment_reduce.default", (ROWS, "mean"), {"lengths": LENGTHS[:2], "unsafe": True}),
    # Halves added up in halves.
    Sample("aten.segment_reduce.default", (floats(900).half(), "sum"), {"lengths": torch.tensor([900])}),
]
