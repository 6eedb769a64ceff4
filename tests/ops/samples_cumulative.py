"""Samples of `lowering/stablehlo/ops/cumulative.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(2)
INF, NAN = float("inf"), float("nan")
F32 = torch.randn(3, 4, 5)
HALF = torch.randn(3, 40).half()
BFLOAT = torch.randn(3, 40).bfloat16()
F64 = torch.randn(3, 7, dtype=torch.float64)
I64 = torch.randint(-9, 9, (3, 6))
I32 = torch.randint(-9, 9, (3, 6), dtype=torch.int32)
U8 = torch.randint(0, 255, (3, 6), dtype=torch.uint8)
BOOL = torch.rand(3, 9) > 0.4
HOLES = torch.tensor([[1.0, NAN, 3.0, INF, NAN], [-INF, -INF, 2.0, 2.0, -INF], [0.0, -0.0, INF, 2.0, INF]])
SCALAR = torch.tensor(3.0)
EMPTY = torch.zeros(3, 0)
LONG = torch.rand(5000)
# Beyond float32 on the way, and back: eager's running sums and products are of float64.
BACK = torch.tensor([[3e38, 3e38, -3e38, 1.0], [3e38, -3e38, 1e-30, 0.0]])
VANISHING = torch.tensor([complex(-INF, 1), complex(-INF, 2), 1 + 2j, INF, 2.0, complex(NAN, 1), 1j])

TYPES = [F32, HALF, BFLOAT, F64, I64, I32, U8, BOOL, HOLES, SCALAR, EMPTY]

SAMPLES = [
    *(Sample("aten.cumsum.default", (x, -1)) for x in TYPES),
    Sample("aten.cumsum.default", (F32, 0)),
    Sample("aten.cumsum.default", (LONG, 0)),
    Sample("aten.cumsum.default", (LONG.half() * 100, 0), name="cumsum.default-f16-overflow"),
    *(
        Sample(f"aten.{name}.default", (BACK, 1), name=f"{name}-overflow-and-back")
        for name in ("cumsum", "cumprod")
    ),
    Sample("aten.cumsum.default", (BOOL, 1), {"dtype": torch.int32}),
    Sample("aten.cumsum.default", (F32, 1), {"dtype": torch.int64}),
    Sample("aten.cumsum.default", (torch.randn(3, 4, dtype=torch.complex64), 1)),
    *(Sample("aten.cumprod.default", (x, -1)) for x in [F32, HALF[:, :8].contiguous(), *TYPES[3:]]),
    Sample("aten.cumprod.default", (BFLOAT[:, :8].contiguous(), 1)),
    Sample("aten.cumprod.default", (I32, 0), {"dtype": torch.float32}),
    *(Sample(f"aten.{name}.default", (x, -1)) for name in ("cummax", "cummin") for x in TYPES),
    *(Sample(f"aten.{name}.default", (F32, 1)) for name in ("cummax", "cummin")),
    *(Sample("aten.logcumsumexp.default", (x, -1)) for x in [F32, HALF, BFLOAT, F64, HOLES, SCALAR, EMPTY]),
    Sample("aten.logcumsumexp.default", (F32 * 100, 0), name="logcumsumexp.default-large"),
    Sample("aten._logcumsumexp.default", (F32, 1)),
    *(Sample("aten.diff.default", (x,)) for x in [F32, HALF, I64, U8, BOOL, HOLES]),
    Sample("aten.diff.default", (F32, 2, 0)),
    Sample("aten.diff.default", (F32, 0)),
    Sample("aten.diff.default", (F32, 9, 1)),
    Sample("aten.diff.default", (F32, 1, -1, F32[..., :2], F32[..., :1])),
    Sample("aten.diff.default", (I32, 1, 0, I64[:1])),
    Sample("aten.trapezoid.dx", (F32,)),
    Sample("aten.trapezoid.dx", (F32,), {"dx": 0.5, "dim": 0}),
    Sample("aten.trapezoid.dx", (I64,), {"dx": 2}),
    Sample("aten.trapezoid.dx", (torch.tensor([[INF, 1.0], [-INF, 2.0], [1.0, INF]]),), {"dim": 0}),
    Sample("aten.trapezoid.x", (F32, F32.sort(-1).values)),
    Sample("aten.trapezoid.x", (F32, torch.rand(4)), {"dim": 1}),
    Sample("aten.trapezoid.x", (F32, torch.rand(4, 5))),
    Sample("aten.trapz.dx", (F32,), {"dx": 2.0}),
    Sample("aten.trapz.x", (F32, torch.rand(5))),
    Sample("aten.cumulative_trapezoid.dx", (F32,), {"dim": 1}),
    Sample("aten.cumulative_trapezoid.x", (F32, torch.rand(5))),
    *(
        Sample(f"aten.{name}.{kind}", (U8, *((U8.flip(-1),) if kind == "x" else ())))
        for name in ("trapezoid", "cumulative_trapezoid")
        for kind in ("x", "dx")
    ),
    Sample("aten.logcumsumexp.default", (VANISHING, 0), name="logcumsumexp.default-vanishing"),
    Sample("aten.logcumsumexp.default", (torch.complex(F64, F64.flip(1)) * 3, 1)),
]
