"""Samples of `lowering/stablehlo/ops/matmul.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(4)
NAN = float("nan")
HALF, BFLOAT, F64, COMPLEX = torch.float16, torch.bfloat16, torch.float64, torch.complex64
FLOATS = (torch.float32, HALF, BFLOAT, F64, COMPLEX)
INTEGERS = (torch.int64, torch.int32, torch.int8, torch.uint8)


def rand(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, dtype=F64 if not dtype.is_complex else dtype).to(dtype)
    return torch.randint(0, 100, shape).to(dtype)


def typed(target: str, *shapes: tuple[int, ...], dtypes: tuple[torch.dtype, ...] = FLOATS) -> list[Sample]:
    """One sample for each dtype, its operands of these shapes."""
    return [Sample(target, tuple(rand(*shape, dtype=t) for shape in shapes)) for t in dtypes]


MATMUL_SHAPES = [
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((2, 6, 3, 4), (2, 1, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((1, 1, 4), (4, 5)),
    ((3, 1), (1, 5)),
    ((3, 0), (0, 5)),
    ((0, 4), (4, 5)),
    ((2, 0, 4), (2, 4, 5)),
]
SCALES = {"beta": 0.5, "alpha": -2.0}
NAN_BIAS = torch.full((3, 5), NAN)

PRODUCTS = [
    *typed("aten.mm.default", (3, 4), (4, 5), dtypes=(*FLOATS, *INTEGERS)),
    *typed("aten.mm.default", (3, 300), (300, 5), dtypes=(torch.float32, HALF, BFLOAT, torch.int8)),
    *typed("aten.mm.default", (1, 4), (4, 1), dtypes=(torch.float32,)),
    *typed("aten.mm.default", (3, 0), (0, 5), dtypes=(torch.float32,)),
    Sample("aten._int_mm.default", (rand(32, 16, dtype=torch.int8), rand(16, 8, dtype=torch.int8))),
    *typed("aten.bmm.default", (2, 3, 4), (2, 4, 5), dtypes=(*FLOATS, *INTEGERS)),
    *typed("aten.mv.default", (3, 4), (4,), dtypes=(*FLOATS, torch.int64)),
    *typed("aten.dot.default", (40,), (40,), dtypes=(*FLOATS, torch.int64)),
    *typed("aten.vdot.default", (6,), (6,), dtypes=(torch.float32, COMPLEX)),
    *typed("aten.linalg_vecdot.default", (3, 6), (3, 6), dtypes=(torch.float32, COMPLEX)),
    Sample("aten.linalg_vecdot.default", (rand(2, 3, 4), rand(3, 4)), {"dim": 1}),
    *typed("aten.outer.default", (3,), (4,), dtypes=(*FLOATS, torch.int64)),
    *typed("aten.ger.default", (3,), (4,), dtypes=(torch.float32,)),
    *(Sample("aten.matmul.default", (rand(*a), rand(*b))) for a, b in MATMUL_SHAPES),
    *typed("aten.matmul.default", (2, 3, 4), (4, 5), dtypes=(HALF, BFLOAT, F64, torch.int64)),
    *typed("aten.linalg_matmul.default", (2, 3, 4), (2, 4, 5), dtypes=(torch.float32,)),
    *typed("aten.inner.default", (2, 3, 4), (5, 4), dtypes=(torch.float32, HALF, torch.int64)),
    *typed("aten.inner.default", (), (5, 4), dtypes=(torch.float32,)),
    *typed("aten.inner.default", (4,), (4,), dtypes=(torch.float32,)),
    *typed("aten.kron.default", (2, 3), (4, 5), dtypes=(torch.float32, HALF, torch.int64)),
    *typed("aten.kron.default", (2,), (3, 4, 5), dtypes=(torch.float32,)),
    Sample("aten.kron.default", (rand(2, 3), rand(2, 2, dtype=torch.int64))),
    *typed("aten.cross.default", (2, 3, 4), (2, 3, 4), dtypes=(torch.float32, F64, torch.int64)),
    Sample("aten.cross.default", (rand(3, 2, 3), rand(3, 2, 3), -1)),
    *typed("aten.linalg_cross.default", (2, 3), (1, 3), dtypes=(torch.float32, COMPLEX)),
    Sample("aten.linalg_cross.default", (rand(3, 4), rand(3, 4)), {"dim": 0}),
]

SUMS = [
    *typed("aten.linear.default", (2, 6, 40), (5, 40), (5,)),
    *typed("aten.linear.default", (6, 40), (5, 40)),
    *typed("aten.linear.default", (40,), (5, 40), (5,), dtypes=(torch.float32, HALF)),
    *typed("aten.linear.default", (6, 40), (40,), dtypes=(torch.float32,)),
    *typed("aten.linear.default", (1, 40), (5, 40), (5,), dtypes=(torch.float32, BFLOAT)),
    *typed("aten.linear.default", (0, 40), (5, 40), (5,), dtypes=(torch.float32,)),
    *typed("aten.addmm.default", (5,), (3, 40), (40, 5), dtypes=(*FLOATS, torch.int64)),
    *typed("aten.addmm.default", (3, 1), (3, 40), (40, 5), dtypes=(torch.float32, HALF)),
    *typed("aten.addmm.default", (), (3, 4), (4, 5), dtypes=(torch.float32,)),
    Sample("aten.addmm.default", (rand(3, 5), rand(3, 4), rand(4, 5)), SCALES),
    Sample("aten.addmm.default", (rand(3, 5).half(), rand(3, 4).half(), rand(4, 5).half()), SCALES),
    Sample("aten.addmm.default", (NAN_BIAS, rand(3, 4), rand(4, 5)), {"beta": 0}),
    Sample(
        "aten.addmm.default", (*(rand(3, 3, dtype=torch.int64) for _ in range(3)),), {"beta": 2, "alpha": 3}
    ),
    *typed("aten.addmv.default", (3,), (3, 4), (4,), dtypes=(*FLOATS, torch.int64)),
    Sample("aten.addmv.default", (rand(1), rand(3, 4), rand(4)), SCALES),
    *typed("aten.addbmm.default", (3, 5), (2, 3, 4), (2, 4, 5), dtypes=(torch.float32, F64, torch.int64)),
    Sample("aten.addbmm.default", (rand(5), rand(2, 3, 4), rand(2, 4, 5)), SCALES),
    *typed("aten.baddbmm.default", (2, 3, 5), (2, 3, 4), (2, 4, 5), dtypes=(*FLOATS, torch.int64)),
    Sample("aten.baddbmm.default", (rand(5), rand(2, 3, 4), rand(2, 4, 5)), SCALES),
    Sample("aten.baddbmm.default", (NAN_BIAS, rand(2, 3, 4), rand(2, 4, 5)), {"beta": 0, "alpha": 0.125}),
    *typed("aten.addr.default", (3, 4), (3,), (4,), dtypes=(torch.float32, torch.int64)),
    # Eager rounds the product to float16 before it adds; the rule rounds once.
    Sample("aten.addr.default", (rand(3, 4).half(), rand(3).half(), rand(4).half()), atol=2e-3, rtol=1e-3),
    Sample("aten.addr.default", (rand(4), rand(3), rand(4)), SCALES),
    Sample("aten.addr.default", (NAN_BIAS, rand(3), rand(5)), {"beta": 0}),
    Sample(
        "aten.addr.default", (*(torch.rand(s) > 0.5 for s in ((3, 4), (3,), (4,))),), name="addr.default-bool"
    ),
]

SAMPLES = PRODUCTS + SUMS
