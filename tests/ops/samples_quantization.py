"""Samples of `lowering/stablehlo/ops/quantization.py`."""

from __future__ import annotations

import importlib

import torch

from tests.ops.data import floats
from tests.ops.driver import Sample

# torch registers these operators only when a quantiser needs them.
importlib.import_module("torch.ao.quantization.fx._decomposed")

NAMESPACE = "quantized_decomposed"
F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
# Numbers within the range and beyond both ends, halves that round to even, and what has no place.
X = torch.cat([floats(40) * 3, torch.tensor([0.25, 0.75, -0.25, 1.25, 1e9, -1e9, -0.0])])
CHANNELS = floats(3, 4, 5) * 3
SCALES = torch.tensor([0.1, 0.02, 0.5, 0.03])
ZEROS = torch.tensor([3, -7, 0, 11])
RANGES = ((-128, 127, torch.int8), (0, 255, torch.uint8), (-5, 7, torch.int8), (-32768, 32767, torch.int16))
SPECIAL = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.5, -3.0])


def integers(dtype: torch.dtype, *sizes: int) -> torch.Tensor:
    info = torch.iinfo(dtype)
    return torch.randint(info.min, info.max + 1, sizes, dtype=dtype)


TENSOR_PARAMETERS = (torch.tensor([0.1]), torch.tensor([3]))

SAMPLES = [
    *(Sample(f"{NAMESPACE}.quantize_per_tensor.default", (X, 0.1, 3, *r)) for r in RANGES),
    *(
        Sample(f"{NAMESPACE}.quantize_per_tensor.default", (X.to(t), 0.037, -2, *RANGES[0]))
        for t in (F16, BF16)
    ),
    Sample(f"{NAMESPACE}.quantize_per_tensor.tensor", (X, *TENSOR_PARAMETERS, *RANGES[0])),
    Sample(
        f"{NAMESPACE}.quantize_per_tensor.tensor2",
        (X, *TENSOR_PARAMETERS, torch.tensor(-128), torch.tensor(127), torch.int8),
    ),
    *(
        Sample(f"{NAMESPACE}.dequantize_per_tensor.default", (integers(dtype, 30), 0.1, 3, *bounds, dtype))
        for *bounds, dtype in RANGES
    ),
    Sample(
        f"{NAMESPACE}.dequantize_per_tensor.tensor", (integers(torch.int8, 9), *TENSOR_PARAMETERS, *RANGES[0])
    ),
    Sample(
        f"{NAMESPACE}.dequantize_per_tensor.tensor2",
        (integers(torch.int8, 9), *TENSOR_PARAMETERS, torch.tensor(-128), torch.tensor(127), torch.int8),
    ),
    *(
        Sample(f"{NAMESPACE}.quantize_per_channel.default", (CHANNELS, scales, zeros, 1, *RANGES[0]))
        for scales in (SCALES, SCALES.double())
        for zeros in (ZEROS, ZEROS.float())
    ),
    Sample(f"{NAMESPACE}.quantize_per_channel.default", (CHANNELS.bfloat16(), SCALES, ZEROS, 1, *RANGES[0])),
    *(
        Sample(
            f"{NAMESPACE}.dequantize_per_channel.default",
            (integers(torch.int8, 3, 4, 5), scales, zeros, 1, *RANGES[0]),
        )
        for scales in (SCALES, SCALES.double())
        for zeros in (ZEROS, ZEROS.int(), ZEROS.float(), None)
    ),
    Sample(
        f"{NAMESPACE}.dequantize_per_channel.default",
        (integers(torch.int8, 3, 4, 5), SCALES, ZEROS, 1, *RANGES[0]),
        {"out_dtype": BF16},
    ),
    *(
        Sample("aten.fake_quantize_per_tensor_affine.default", (x.to(t), 0.1, 3, -20, 100))
        for x in (X, SPECIAL)
        for t in (F32, F64, F16, BF16)
    ),
    Sample("aten.fake_quantize_per_tensor_affine.tensor_qparams", (X, *TENSOR_PARAMETERS, -20, 100)),
    *(
        Sample("aten.fake_quantize_per_tensor_affine_cachemask.default", (x, 0.1, 3, -20, 100))
        for x in (X, SPECIAL)
    ),
    *(
        Sample("aten.fake_quantize_per_channel_affine.default", (CHANNELS, SCALES, zeros, 1, -20, 100))
        for zeros in (ZEROS.int(), ZEROS.float())
    ),
    Sample(
        "aten.fake_quantize_per_channel_affine_cachemask.default",
        (CHANNELS.half(), SCALES, ZEROS.int(), 1, -20, 100),
    ),
]
