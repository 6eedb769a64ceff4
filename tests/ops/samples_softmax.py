"""Samples of `lowering/stablehlo/ops/softmax.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(5)
INF, NAN = float("inf"), float("nan")
F32 = torch.randn(3, 4, 5) * 3
HALF, BFLOAT, F64 = F32.half(), F32.bfloat16(), F32.double()
EDGES = torch.tensor(
    [[1.0, NAN, 3.0], [-INF, -INF, -INF], [-INF, 2.0, 1e30], [INF, 1.0, INF], [88.0, -200.0, 1e4]]
)
SCALAR = torch.tensor(3.0)
EMPTY = torch.zeros(0, 4)

# Along the last axis eager rounds a half log-softmax in between; the rule is the float32 result rounded once.
STEPS = {(torch.float16, "log_softmax"): 2e-3, (torch.bfloat16, "log_softmax"): 1.6e-2}


def last_axis(kind: str, x: torch.Tensor) -> Sample:
    atol = STEPS.get((x.dtype, kind))
    return Sample(f"aten.{kind}.int", (x, -1), atol=atol, rtol=None if atol is None else atol)


SAMPLES = [
    sample
    for kind in ("softmax", "log_softmax")
    for sample in (
        *(last_axis(kind, x) for x in [F32, HALF, BFLOAT, F64, EDGES, SCALAR, EMPTY]),
        *(Sample(f"aten.{kind}.int", (F32, dim)) for dim in (0, 1)),
        Sample(f"aten.{kind}.int", (EMPTY, 0)),
        Sample(f"aten.{kind}.int", (EDGES.half(), 0)),
        *(Sample(f"aten.{kind}.int", (HALF, 1, dtype)) for dtype in (torch.float32, torch.float64)),
        Sample(f"aten.{kind}.int", (F32, 1, torch.float16)),
        Sample(f"aten.{kind}.int", (torch.randint(0, 5, (3, 4)), 1, torch.float32)),
        *(Sample(f"aten._{kind}.default", (x, 1, False)) for x in [F32, HALF, BFLOAT, F64, EDGES]),
        Sample(f"aten.special_{kind}.default", (F32, 1), {"dtype": torch.float64}),
    )
] + [Sample("aten._safe_softmax.default", (x, -1)) for x in (F32, EDGES, HALF)]
