"""Samples of `lowering/stablehlo/ops/reduction.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(0)
INF, NAN = float("inf"), float("nan")
F32 = torch.randn(3, 4, 5)
HALF = torch.randn(3, 40).half()
BFLOAT = torch.randn(3, 40).bfloat16()
F64 = torch.randn(3, 4, dtype=torch.float64)
I64 = torch.randint(-9, 9, (3, 4))
I32 = torch.randint(-9, 9, (3, 4), dtype=torch.int32)
U8 = torch.randint(0, 255, (3, 4), dtype=torch.uint8)
BOOL = torch.tensor([[True, False, True], [True, True, True], [False, False, False]])
COMPLEX = torch.randn(3, 4, dtype=torch.complex64)
HOLES = torch.tensor([[1.0, NAN, 3.0, INF], [-INF, 2.0, 5.0, 1.0], [0.0, -0.0, NAN, NAN]])
TIES = torch.tensor([[2.0, 7.0, 7.0, 1.0], [1.0, 1.0, 1.0, 1.0], [-3.0, -3.0, -5.0, -5.0]])
EMPTY = torch.zeros(0, 4)
SCALAR = torch.tensor(3.0)
LONG = torch.rand(1 << 18) + 1

ALL_TYPES = [F32, HALF, BFLOAT, F64, I64, I32, U8, BOOL]
FLOATS = [F32, HALF, BFLOAT, F64]
ORDERED = [*ALL_TYPES, HOLES, TIES, SCALAR]

SUMS = [
    *(Sample("aten.sum.default", (x,)) for x in [*ALL_TYPES, COMPLEX, HOLES, EMPTY, SCALAR]),
    Sample("aten.sum.default", (LONG,), name="sum.default-long"),
    Sample(
        "aten.sum.default", (torch.tensor([60000.0, 60000.0, -60000.0]).half(),), name="sum.default-f16-large"
    ),
    Sample("aten.sum.default", (F32,), {"dtype": torch.int64}),
    Sample("aten.sum.default", (I32,), {"dtype": torch.int32}),
    Sample("aten.sum.default", (BOOL,), {"dtype": torch.float16}),
    *(
        Sample("aten.sum.dim_IntList", (F32, dim, keep))
        for dim in ([-1], [0, 2], [], None)
        for keep in (False, True)
    ),
    Sample("aten.sum.dim_IntList", (EMPTY, [0])),
    Sample("aten.sum.dim_IntList", (SCALAR, [0])),
    Sample("aten.sum.dim_IntList", (HALF, [1]), {"dtype": torch.float32}),
    *(Sample("aten.mean.default", (x,)) for x in [*FLOATS, COMPLEX, HOLES, EMPTY, SCALAR]),
    Sample("aten.mean.default", (I64,), {"dtype": torch.float32}),
    *(Sample("aten.mean.dim", (F32, dim, keep)) for dim in ([1], [-1, 0], None) for keep in (False, True)),
    Sample("aten.mean.dim", (BFLOAT, [-1], True)),
    Sample("aten.mean.dim", (HALF * 1000, [-1]), name="mean.dim-f16-large"),
    *(Sample("aten.nansum.default", (x,)) for x in [HOLES, HALF, I64, BOOL]),
    Sample("aten.nansum.default", (HOLES, [1], True), {"dtype": torch.float64}),
    Sample("aten.nanmean.default", (HOLES,)),
    Sample("aten.nanmean.default", (HOLES.half(), [1], True)),
    Sample("aten.nanmean.default", (torch.full((2, 2), NAN), [0]), name="nanmean.default-nothing"),
    *(Sample("aten.prod.default", (x,)) for x in [F32[0], F64, I64, U8, BOOL, COMPLEX, EMPTY, HOLES]),
    Sample("aten.prod.default", (HALF[0, :4],)),
    Sample("aten.prod.default", (I32,), {"dtype": torch.float32}),
    Sample("aten.prod.dim_int", (F32, -1)),
    Sample("aten.prod.dim_int", (I64, 0, True)),
    Sample("aten.prod.dim_int", (EMPTY, 0)),
    Sample("aten.prod.dim_int", (BFLOAT[:, :5].contiguous(), 1)),
    Sample("aten.trace.default", (F32[0],)),
    Sample("aten.trace.default", (I32,)),
    Sample("aten.trace.default", (HOLES,), name="trace.default-nan"),
    Sample("aten.sum_to_size.default", (F32, [4, 1])),
    Sample("aten.sum_to_size.default", (I64, [1, 4])),
    Sample("aten.sum_to_size.default", (F32, [3, 4, 5])),
    *(Sample("aten.hash_tensor.default", (x,)) for x in [F32, HALF, BFLOAT, F64, I64, I32, U8, BOOL, SCALAR]),
    Sample("aten.hash_tensor.default", (HOLES, [1])),
    Sample("aten.hash_tensor.default", (F32, [-2]), {"keepdim": True}),
    Sample("aten.hash_tensor.default", (F32, [0, 2])),
]

TRUTHS = [
    *(
        sample
        for name in ("all", "any")
        for sample in (
            *(Sample(f"aten.{name}.default", (x,)) for x in [BOOL, F32, HALF, I64, U8, HOLES, EMPTY]),
            *(Sample(f"aten.{name}.dim", (x, -1, True)) for x in [BOOL, HOLES, U8]),
            *(Sample(f"aten.{name}.dim", (x, 0)) for x in [BOOL, HOLES, U8]),
            *(Sample(f"aten.{name}.dims", (BOOL, dim, True)) for dim in ([0, 1], [], None, [-1])),
        )
    ),
    Sample("aten._is_all_true.default", (BOOL,)),
    Sample("aten._is_any_true.default", (BOOL,)),
    *(Sample("aten.count_nonzero.default", (x,)) for x in [F32, HALF, I64, BOOL, HOLES, COMPLEX, EMPTY]),
    Sample("aten.count_nonzero.default", (BOOL, 1)),
    Sample("aten.count_nonzero.default", (HOLES, -1)),
    Sample("aten.count_nonzero.dim_IntList", (BOOL, [0, 1])),
    Sample("aten.count_nonzero.dim_IntList", (I64, [0])),
]

EXTREMA = [
    sample
    for name in ("max", "min")
    for sample in (
        *(Sample(f"aten.{name}.default", (x,)) for x in ORDERED),
        *(Sample(f"aten.{name}.dim", (x, -1)) for x in ORDERED),
        Sample(f"aten.{name}.dim", (F32, 0, True)),
        Sample(f"aten.{name}.dim", (TIES, 0)),
        Sample(f"aten.{name}.dim", (torch.full((2, 3), -INF), 1), name=f"{name}.dim-inf"),
        Sample(f"aten.{name}.dim", (EMPTY, 1)),
        *(Sample(f"aten.a{name}.default", (x, [-1])) for x in ORDERED),
        Sample(f"aten.a{name}.default", (F32, [0, -1], True)),
        Sample(f"aten.a{name}.default", (F32,)),
        *(Sample(f"aten.arg{name}.default", (x,)) for x in [*ORDERED[:-4], HOLES, TIES, SCALAR]),
        *(Sample(f"aten.arg{name}.default", (x, 1, True)) for x in [F32, HOLES, TIES, I64]),
        Sample(f"aten.arg{name}.default", (TIES, -2)),
        Sample(f"aten.arg{name}.default", (SCALAR, 0)),
        Sample(f"aten.{name}.other", (F32, F32[0])),
        Sample(f"aten.{name}.other", (HOLES, HOLES.flip(1))),
        Sample(f"aten.{name}.other", (I32, I64)),
        Sample(f"aten.{name}.other", (HALF, torch.tensor(0.3))),
        Sample(f"aten.{name}.other", (BOOL, BOOL.t().contiguous())),
    )
] + [
    *(Sample("aten.aminmax.default", (x,)) for x in ORDERED),
    Sample("aten.aminmax.default", (F32,), {"dim": 1, "keepdim": True}),
    Sample("aten.aminmax.default", (HOLES,), {"dim": -1}),
    Sample("aten.aminmax.default", (F32,), {"keepdim": True}),
]

LOG_SUMS = [
    *(Sample("aten.logsumexp.default", (x, [-1])) for x in [F32, HALF, BFLOAT, F64, HOLES, SCALAR, I64]),
    Sample("aten.logsumexp.default", (F32 * 100, [0, 1], True), name="logsumexp.default-large"),
    Sample("aten.logsumexp.default", (torch.full((2, 3), -INF), [1]), name="logsumexp.default-inf"),
    Sample("aten.logsumexp.default", (EMPTY, [0])),
    Sample("aten.special_logsumexp.default", (F32, [1])),
]

SAMPLES = SUMS + TRUTHS + EXTREMA + LOG_SUMS
