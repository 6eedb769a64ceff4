"""Samples of `lowering/stablehlo/ops/grouped.py`."""

from __future__ import annotations

import importlib

import torch

from tests.ops.data import BF16, F16, F32, floats
from tests.ops.driver import Sample

# It registers `transformers.grouped_mm_fallback`; lowering needs no transformers.
importlib.import_module("transformers.integrations.moe")


def ends(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.int32)


# Empty groups at either end and in between, one that takes all, more rows than a tile has, one row.
GROUPS = ((2, 2, 5, 9), (0, 4, 9, 9), (9, 9, 9, 9), (0, 0, 0, 9), (1, 2, 3, 9))


def rows(count: int, dtype: torch.dtype = F32) -> torch.Tensor:
    return floats(count, 16).to(dtype)


def matrices(groups: int, dtype: torch.dtype = F32) -> torch.Tensor:
    return floats(groups, 16, 8).to(dtype)


SAMPLES = [
    *(Sample("aten._grouped_mm.default", (rows(9), matrices(4), ends(*at))) for at in GROUPS),
    *(
        Sample("aten._grouped_mm.default", (rows(300), matrices(3), ends(*at)))
        for at in ((140, 141, 300), (0, 1, 300))
    ),
    Sample("aten._grouped_mm.default", (rows(1), matrices(3), ends(0, 1, 1))),
    *(
        Sample("aten._grouped_mm.default", (rows(9, t), matrices(4, t), ends(*GROUPS[0])))
        for t in (BF16, F16)
    ),
    Sample("aten._grouped_mm.default", (rows(9), floats(4, 8, 16).transpose(1, 2), ends(*GROUPS[0]))),
    Sample("aten._grouped_mm.default", (rows(9), matrices(4), ends(*GROUPS[0])), {"out_dtype": F32}),
    Sample("aten._grouped_mm.default", (floats(3, 4, 16), floats(16, 8), ends(2, 2, 8))),
    Sample("aten._grouped_mm.default", (floats(4, 16), floats(16, 8), ends(4, 4, 16))),
    Sample("aten._grouped_mm.default", (floats(3, 4, 16), matrices(3))),
    *(
        Sample("transformers.grouped_mm_fallback.default", (rows(9), matrices(4), ends(*at)))
        for at in (*GROUPS, (2, 3, 4, 6), (0, 0, 0, 0), (2, 4, 9, 12))
    ),
    Sample(
        "transformers.grouped_mm_fallback.default",
        (rows(9, BF16), matrices(4, BF16), ends(*GROUPS[0]).long()),
    ),
    Sample("transformers.grouped_mm_fallback.default", (rows(9)[:0], matrices(4), ends(0, 0, 0, 0))),
]
