"""Samples of `lowering/stablehlo/ops/bags.py`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, I32, I64, INF, NAN, floats
from tests.ops.driver import Sample

BAG = "aten.embedding_bag.padding_idx"
SUM, MEAN, MAX = range(3)
# The second bag is empty, row 3 is read twice.
INDICES = torch.tensor([1, 3, 3, 4, 5, 3])
OFFSETS = torch.tensor([0, 2, 2])
CLOSED = torch.tensor([0, 2, 2, 6])
WEIGHT = floats(10, 4)
MISSING = torch.where(torch.arange(10)[:, None] == torch.tensor([1, 3, 4, 7]), NAN, WEIGHT)


def bag(
    mode: int,
    *,
    weight: torch.Tensor = WEIGHT,
    indices: torch.Tensor = INDICES,
    offsets: torch.Tensor = OFFSETS,
    scales: torch.Tensor | None = None,
    padding: int | None = None,
    target: str = BAG,
) -> Sample:
    last = offsets is CLOSED
    args: tuple[Any, ...] = (weight, indices, offsets, False, mode, False, scales, last)
    if target == BAG or padding is not None:
        args += (padding,)
    return Sample(target, args)


def unlabelled(sample: Sample, name: str) -> Sample:
    return Sample(sample.target, sample.args, name=name)


SAMPLES = [
    *(bag(mode) for mode in (SUM, MEAN, MAX)),
    *(bag(mode, padding=3) for mode in (SUM, MEAN, MAX)),
    *(bag(mode, padding=-7, offsets=CLOSED) for mode in (SUM, MEAN, MAX)),
    *(bag(mode, weight=WEIGHT.to(dtype)) for mode in (SUM, MEAN, MAX) for dtype in (F64, F16)),
    # The program and eager disagree on what eager notes of plain sums of bfloat16.
    *(bag(mode, weight=WEIGHT.to(BF16)) for mode in (MEAN, MAX)),
    *(bag(mode, indices=INDICES.to(I32), offsets=OFFSETS.to(I32)) for mode in (SUM, MEAN, MAX)),
    *(bag(SUM, weight=WEIGHT.to(dtype), scales=floats(6).to(dtype)) for dtype in (F32, F64, F16)),
    bag(SUM, scales=floats(6), padding=3),
    *(
        bag(mode, indices=torch.empty(0, dtype=I64), offsets=torch.zeros(2, dtype=I64))
        for mode in (SUM, MEAN)
    ),
    *(unlabelled(bag(mode, weight=MISSING), f"embedding_bag-nan-{mode}") for mode in (SUM, MAX)),
    bag(MAX, weight=MISSING, padding=3),
    *(bag(mode, target="aten.embedding_bag.default") for mode in (SUM, MEAN, MAX)),
    *(bag(mode, target="aten._embedding_bag.default", padding=3) for mode in (SUM, MEAN, MAX)),
    *(bag(mode, target="aten._embedding_bag_forward_only.default") for mode in (SUM, MEAN, MAX)),
    *(
        Sample("aten.embedding_renorm_.default", (WEIGHT.to(dtype), INDICES, 1.5, kind), functional=True)
        for dtype, kind in (
            (F32, 2.0),
            (F64, 2.0),
            (F32, 1.0),
            (F32, 3.0),
            (F32, INF),
            (F16, 2.0),
            (BF16, 2.0),
        )
    ),
    Sample("aten.embedding_renorm_.default", (WEIGHT, INDICES.reshape(2, 3), 1.0, 2.0), functional=True),
]
