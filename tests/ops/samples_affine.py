"""Samples of `lowering/stablehlo/ops/affine.py`."""

from __future__ import annotations

import torch

from tests.ops.data import BF16, F16, F32, floats
from tests.ops.driver import Sample
from tests.ops.samples_quantization import integers
from tests.ops.torchao_operators import register

register()

I8, I32, F8 = torch.int8, torch.int32, torch.float8_e4m3fn
X = floats(4, 64)
# By block: the whole, rows, groups in rows, columns. As many parameters as there are blocks.
BLOCKS = {(4, 64): (), (1, 64): (4,), (1, 32): (4, 2), (4, 1): (64,), (2, 16): (2, 4)}
MAPPINGS = ("SYMMETRIC", "SYMMETRIC_NO_CLIPPING_ERR", "ASYMMETRIC")


def scales(*shape: int) -> torch.Tensor:
    return floats(*shape, low=0.01, high=0.05) if shape else torch.tensor(0.03)


def zeros(*shape: int) -> torch.Tensor:
    return (floats(*shape) * 5).to(I32) if shape else torch.tensor(3, dtype=I32)


SAMPLES = [
    *(
        Sample("torchao.quantize_affine.default", (X.to(t), list(block), scales(*shape), zeros(*shape), I8))
        for block, shape in BLOCKS.items()
        for t in (F32, BF16)
    ),
    Sample(
        "torchao.quantize_affine.default",
        (X.to(F16), [1, 32], scales(4, 2).to(F16), zeros(4, 2).to(I8), I8, -8, 7),
    ),
    *(
        Sample(
            "torchao.dequantize_affine.default",
            (integers(I8, 4, 64), list(block), scales(*shape), zero, I8),
        )
        for block, shape in BLOCKS.items()
        for zero in (zeros(*shape), None)
    ),
    *(
        Sample(
            "torchao.dequantize_affine.default",
            (integers(I8, 4, 64), [1, 32], scales(4, 2).to(s), zeros(4, 2), I8, -8, 7),
            {"output_dtype": t},
        )
        for s, t in ((F32, BF16), (BF16, BF16), (F16, F16))
    ),
    *(
        Sample(
            "torchao.choose_qparams_affine.default",
            (x, mapping, list(block), I8, low, high, eps, F32, I32, keepdim),
        )
        for mapping in MAPPINGS
        for block in ((4, 64), (1, 64), (1, 32))
        for x, low, high, eps, keepdim in (
            (X, None, None, None, False),
            (X * 0, -127, 127, 1e-5, False),
            (X.to(BF16), -8, 7, None, True),
        )
    ),
    Sample("torchao.choose_qparams_affine.default", (X, "SYMMETRIC", [1, 64], I8)),
    Sample("torchao.choose_qparams_affine.default", (X, "ASYMMETRIC", [1, 64], I8)),
    Sample("torchao.choose_qparams_affine.default", (X, "SYMMETRIC", [4, 64], F8)),
    *(
        Sample("torchao.choose_scale_float8.default", (x, list(block), F8, F32, low, 2.5))
        for block in BLOCKS
        for x, low in ((X, 0.1), (X.to(BF16), None))
    ),
    Sample("torchao.choose_scale_float8.default", (X, [1, 64])),
    Sample("torchao.choose_scale_float8.default", (X, [1, 64], F8, torch.float8_e8m0fnu)),
    *(
        Sample("torchao.quantize_affine_float8_non_decomposed.default", (X.to(t), scales(*shape)))
        for shape in ((4, 1), (4, 2), ())
        for t in (F32, BF16)
    ),
    *(
        Sample(
            "torchao.dequantize_affine_float8_non_decomposed.default",
            (X.to(F8), scales(*shape)),
            {"output_dtype": t},
        )
        for shape in ((4, 1), (4, 2), ())
        for t in (F32, BF16)
    ),
]
