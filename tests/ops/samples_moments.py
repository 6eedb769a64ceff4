"""Samples of `lowering/stablehlo/ops/moments.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(1)
INF, NAN = float("inf"), float("nan")
F32 = torch.randn(3, 4, 5)
HALF = torch.randn(3, 40).half()
BFLOAT = torch.randn(3, 40).bfloat16()
F64 = torch.randn(3, 4, dtype=torch.float64)
COMPLEX = torch.randn(3, 4, dtype=torch.complex64)
HOLES = torch.tensor([[1.0, NAN, 3.0, INF], [-INF, 2.0, 5.0, 1.0], [0.0, -0.0, 2.0, 4.0]])
# A spread of 1 around 4096: the textbook E[x^2] - E[x]^2 has no correct digit left.
FAR = torch.randn(4, 256) + 4096
# Their sums and squares are beyond float32, their spreads are not; and one element, which may be endless.
LARGE = torch.tensor([[3e38, 3e38, 3e38, 3e38], [1e30, -1e30, 1e30, 0.0], [1e25, 2e25, 3e25, 1.0]])
ONE = torch.tensor([[INF], [-INF], [NAN], [3e38], [0.5]])
SCALAR = torch.tensor(3.0)

SPREADS = [
    sample
    for name in ("var", "std", "var_mean", "std_mean")
    for sample in (
        *(Sample(f"aten.{name}.correction", (x,)) for x in [F32, HALF, BFLOAT, F64, HOLES, FAR, SCALAR]),
        *(Sample(f"aten.{name}.correction", (F32, [-1]), {"correction": c}) for c in (0, 1, 2, 1.5, 5, 7)),
        Sample(f"aten.{name}.correction", (F32, [0, 2]), {"correction": 0, "keepdim": True}),
        Sample(f"aten.{name}.correction", (torch.zeros(0, 3), [0])),
        Sample(f"aten.{name}.correction", (FAR, [1])),
        Sample(f"aten.{name}.correction", (LARGE, [1])),
        Sample(f"aten.{name}.correction", (ONE, [1]), {"correction": 0}),
        Sample(f"aten.{name}.default", (F32, False)),
        Sample(f"aten.{name}.default", (HOLES,)),
        Sample(f"aten.{name}.dim", (F32, [1], True, True)),
        Sample(f"aten.{name}.dim", (BFLOAT, [-1], False)),
    )
] + [
    Sample("aten.var.correction", (COMPLEX, [1])),
    Sample("aten.std_mean.correction", (COMPLEX, [0]), {"keepdim": True}),
]

ORDERS = (2, 1, 0, INF, -INF, 3, 0.5, -1.5)
NORMS = [
    *(Sample("aten.linalg_vector_norm.default", (F32, p)) for p in ORDERS),
    *(Sample("aten.linalg_vector_norm.default", (HOLES, p, [-1])) for p in ORDERS),
    *(Sample("aten.linalg_vector_norm.default", (ONE, p, [1])) for p in (2, 1, 0, INF, 3, -2)),
    *(Sample("aten.linalg_vector_norm.default", (x, 2, [1], True)) for x in [HALF, BFLOAT, F64, COMPLEX]),
    Sample("aten.linalg_vector_norm.default", (HALF * 1000,), name="linalg_vector_norm-f16-large"),
    Sample("aten.linalg_vector_norm.default", (HALF,), {"dtype": torch.float32}),
    Sample("aten.linalg_vector_norm.default", (SCALAR,)),
    Sample("aten.linalg_vector_norm.default", (torch.zeros(0, 3), 2, [0])),
    Sample("aten.norm.Scalar", (F32,)),
    Sample("aten.norm.Scalar", (HALF, 1)),
    Sample("aten.norm.Scalar", (COMPLEX, 3)),
    Sample("aten.norm.ScalarOpt_dim", (F32, None, [-1], True)),
    Sample("aten.norm.ScalarOpt_dim", (F32, INF, [0, 1])),
    Sample("aten.norm.ScalarOpt_dim_dtype", (BFLOAT, 2, [1], False), {"dtype": torch.float32}),
    Sample("aten.norm.ScalarOpt_dtype", (HALF, 2), {"dtype": torch.float32}),
    Sample("aten.frobenius_norm.dim", (F32, [-2, -1], True)),
    *(Sample("aten.dist.default", (F32, F32[0] + 1, p)) for p in (2, 1, INF, 0)),
    Sample("aten.dist.default", (HALF, HALF.flip(1))),
    *(Sample("aten._cdist_forward.default", (F32, F32[:, :3] + 1, p, None)) for p in (2.0, 1.0, INF, 3.0)),
    Sample("aten._cdist_forward.default", (F64, F64[:2] * 2, 2.0, 2)),
    *(Sample("aten._pdist_forward.default", (F64, p)) for p in (2.0, 0.0, 1.0, INF, 3.5)),
    *(Sample("aten._pdist_forward.default", (F32[0, :rows].contiguous(), 2.0)) for rows in (1, 2, 3)),
    Sample("aten._pdist_forward.default", (FAR.reshape(-1, 8), 2.0)),
]

SAMPLES = SPREADS + NORMS
