"""Calls of the chunked cross-entropy of a linear layer."""

from __future__ import annotations

import importlib

import torch

from tests.ops.data import floats
from tests.ops.driver import Sample

# torch registers these operators only when a call needs them.
importlib.import_module("torch.nn.modules.linear_cross_entropy")

ROWS = "torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default"
REDUCED = "torch_nn._linear_cross_entropy_batch_chunked.default"

F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
TARGET = torch.tensor([0, 3, 1, 1, -100, 2, 4])


def _of(dtype: torch.dtype) -> list[Sample]:
    x, w, bias, weight = floats(7, 3), floats(5, 3), floats(5), floats(5).abs()
    x, w, bias, weight = (tensor.to(dtype) for tensor in (x, w, bias, weight))
    wide = F32 if dtype in (F16, BF16) else dtype
    end = (2, "accurate", wide)
    flags = (True, False, False, False)
    return [
        Sample(ROWS, (x, w, TARGET, None, None, -100, *end)),
        Sample(ROWS, (x, w, TARGET, bias, weight, -100, *end)),
        *(
            Sample(REDUCED, (x, w, TARGET, *more, reduction, -100, 0.0, *end, *flags))
            for reduction in ("mean", "sum")
            for more in ((None, None), (bias, weight))
        ),
        # A class to be ignored is a target all the same; of none that counts the mean is NaN.
        Sample(ROWS, (x, w, TARGET.clamp(0), bias, None, 1, *end)),
        Sample(REDUCED, (x, w, TARGET.clamp(0), bias, weight, "mean", 1, 0.0, *end, *flags)),
        Sample(REDUCED, (x, w, torch.full((7,), -100), None, None, "mean", -100, 0.0, *end, *flags)),
        *(
            Sample(REDUCED, (x[:0], w, TARGET[:0], None, None, reduction, -100, 0.0, *end, *flags))
            for reduction in ("mean", "sum")
        ),
    ]


SAMPLES = [sample for dtype in (F32, F64, F16, BF16) for sample in _of(dtype)]
