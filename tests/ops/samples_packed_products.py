"""Samples of `lowering/stablehlo/ops/packed_products.py`."""

from __future__ import annotations

import torch

from tests.ops.data import BF16, F16, F32, floats, integers
from tests.ops.driver import Sample

I32, F8, E5 = torch.int32, torch.float8_e4m3fn, torch.float8_e5m2
# One block and a rest of each kind that torch's kernels pack, whichever vectors they use.
ROWS = (16, 32, 48, 64, 80, 128)
GROUP = 32


def nibbles(rows: int) -> torch.Tensor:
    return integers(rows, 64, low=0, high=15).to(I32)


def packed(rows: int) -> torch.Tensor:
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(nibbles(rows), 2)


def scales_and_zeros(rows: int, dtype: torch.dtype) -> torch.Tensor:
    return floats(64 // GROUP, rows, 2, low=0.01, high=0.1).to(dtype)


A = (floats(5, 16)).to(F8)
B = floats(7, 16).to(F8).t()
ONE, TWO = torch.tensor(0.5), torch.tensor(2.0)
BY_ROW, BY_COLUMN = floats(5, 1, low=0.1, high=2.0), floats(1, 7, low=0.1, high=2.0)

SAMPLES = [
    *(
        Sample(
            "aten._weight_int8pack_mm.default",
            (floats(m, 64).to(t), integers(32, 64, low=-127, high=127).to(torch.int8), floats(32).to(t)),
        )
        for m, t in ((4, BF16), (1, BF16), (4, F16))
    ),
    # Terms of up to 1,100 cancel, in another order: each is rounded by 6e-5 at most.
    Sample(
        "aten._weight_int8pack_mm.default",
        (floats(4, 64), integers(32, 64, low=-127, high=127).to(torch.int8), floats(32)),
        rtol=1.3e-6,
        atol=4e-3,
    ),
    *(Sample("aten._convert_weight_to_int4pack_for_cpu.default", (nibbles(rows), 2)) for rows in ROWS),
    *(
        Sample(
            "aten._weight_int4pack_mm_for_cpu.default",
            (floats(3, 64).to(BF16), packed(rows), GROUP, scales_and_zeros(rows, BF16)),
        )
        for rows in ROWS
    ),
    *(
        Sample(
            "aten._weight_int4pack_mm_for_cpu.default",
            (floats(5, 64).to(t), packed(64), GROUP, scales_and_zeros(64, t)),
        )
        for t in (F16, F32)
    ),
    *(
        Sample("aten._scaled_mm.default", (A, B, *scales), {"out_dtype": t})
        for scales in ((ONE, TWO), (BY_ROW, BY_COLUMN))
        for t in (BF16, F16, F32, F8)
    ),
    Sample("aten._scaled_mm.default", (A, B, ONE, TWO)),
    Sample("aten._scaled_mm.default", (A.to(E5), B.to(E5), ONE, TWO), {"out_dtype": F32}),
    *(
        Sample("aten._scaled_mm.default", (A, B, *scales, floats(7).to(BF16)), {"out_dtype": BF16})
        for scales in ((ONE, TWO), (BY_ROW, BY_COLUMN))
    ),
    Sample(
        "aten._scaled_mm.default",
        (A, B, ONE, TWO),
        {"scale_result": torch.tensor(4.0), "out_dtype": F8},
    ),
    *(
        Sample("aten._scaled_mm_v2.default", (A, B, [a], [kind], [], [b], [kind], [], bias, BF16))
        for kind, a, b in ((0, ONE, TWO), (1, BY_ROW, BY_COLUMN))
        for bias in (None, floats(7).to(BF16))
    ),
]
