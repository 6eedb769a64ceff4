"""Calls that write to `out`, as functionalisation leaves them: what is written is their value."""

from __future__ import annotations

import torch

from tests.ops.data import F32, F64, floats
from tests.ops.driver import Sample

X, Y = floats(3, 4), floats(3, 1)

SAMPLES = [
    Sample("aten.atan2.out", (X, Y), {"out": torch.zeros(3, 4)}, functional=True),
    Sample("aten.atan2.out", (X.to(F64), Y.to(F64)), {"out": torch.zeros(3, 4, dtype=F64)}, functional=True),
    # The sum is rounded to the type of `out`.
    Sample("aten.add.out", (X.to(F64), Y), {"out": torch.zeros(3, 4, dtype=F32)}, functional=True),
]
