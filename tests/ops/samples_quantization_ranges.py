"""Samples of `lowering/stablehlo/ops/quantization_ranges.py` and of what takes one scale per row or group."""

from __future__ import annotations

import importlib

import torch

from tests.ops.data import BF16, F16, F32, floats
from tests.ops.driver import Sample
from tests.ops.samples_quantization import NAMESPACE, SCALES, ZEROS, integers

importlib.import_module("torch.ao.quantization.fx._decomposed")

EPS = float(torch.finfo(F32).eps)
ROWS = floats(3, 4, 32)
# The range of positive, of negative, of mixed and of vanishing numbers.
RANGES = (ROWS, ROWS.abs() + 0.5, -ROWS.abs() - 0.5, ROWS * 0, ROWS * 1e-9, ROWS[:1, :1, :1])
TOKEN_SCALES, TOKEN_ZEROS = floats(3, 4, 1, low=0.01, high=0.05), torch.arange(-6, 6).reshape(3, 4, 1)
MATRIX = floats(4, 64)
GROUP_SCALES = floats(4, 2, low=0.01, high=0.05)
GROUP_ZEROS = torch.tensor([[3, -7], [0, 11], [1, 2], [-1, 0]], dtype=torch.int32)
INT8 = (-128, 127, torch.int8)

SAMPLES = [
    *(
        Sample(f"{NAMESPACE}.{name}.tensor", (x.to(t), *bounds[:2], EPS, bounds[2]))
        for name in ("choose_qparams", "choose_qparams_symmetric")
        for bounds in (INT8, (-127, 127, torch.int8), (0, 255, torch.uint8))
        for x, t in (*((x, F32) for x in RANGES), (ROWS, BF16), (ROWS, F16))
    ),
    *(
        Sample(f"{NAMESPACE}.{name}.default", (x.to(t), torch.int8))
        for name in ("choose_qparams_per_token", "choose_qparams_per_token_asymmetric")
        for x, t in (*((x, F32) for x in RANGES), (ROWS, BF16), (ROWS, F16))
    ),
    *(
        Sample(f"{NAMESPACE}.quantize_per_token.default", (ROWS.to(t), scales, TOKEN_ZEROS, *INT8))
        for t in (F32, BF16, F16)
        for scales in (TOKEN_SCALES, TOKEN_SCALES.double())
    ),
    Sample(
        f"{NAMESPACE}.quantize_per_token.default", (ROWS * 1e30, TOKEN_SCALES, TOKEN_ZEROS.float(), *INT8)
    ),
    *(
        Sample(
            f"{NAMESPACE}.dequantize_per_token.default",
            (integers(torch.int8, 3, 4, 32), scales, TOKEN_ZEROS, *INT8, t),
        )
        for t in (F32, BF16)
        for scales in (TOKEN_SCALES, TOKEN_SCALES.double())
    ),
    Sample(f"{NAMESPACE}.quantize_per_channel_group.default", (MATRIX, GROUP_SCALES, GROUP_ZEROS, *INT8, 32)),
    Sample(
        f"{NAMESPACE}.quantize_per_channel_group.default",
        (MATRIX, GROUP_SCALES[:, :1], GROUP_ZEROS[:, :1], *INT8, 128),
    ),
    *(
        Sample(
            f"{NAMESPACE}.dequantize_per_channel_group.default",
            (integers(torch.int8, 4, 64), GROUP_SCALES, zeros, *INT8, 32, t),
        )
        for zeros in (GROUP_ZEROS, None)
        for t in (F32, BF16)
    ),
    Sample(f"{NAMESPACE}.fake_quant_per_channel.default", (floats(3, 4, 5) * 3, SCALES, ZEROS, 1, -20, 100)),
    Sample(f"{NAMESPACE}.convert_element_type.no_fuse", (ROWS, BF16)),
    *(
        Sample(
            f"{NAMESPACE}.dequantize_per_tensor.default",
            (integers(torch.int8, 30), 0.1, 3, *INT8),
            {"out_dtype": t},
        )
        for t in (BF16, F16)
    ),
]
