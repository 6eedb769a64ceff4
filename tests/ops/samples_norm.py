"""Samples of `lowering/stablehlo/ops/norm.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(6)
X = torch.randn(2, 6, 5, 4)
TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# At a mean of 1000 the rounding of the mean shows in eager: it is 9e-5 off a float64 run.
FAR, FAR_ATOL = torch.randn(2, 6, 50) + 1000, 2e-4
ROWS = torch.randn(7, 6)
COMPLEX = torch.complex(X, X.flip(1))


def channels(dtype: torch.dtype = torch.float32, size: int = 6) -> list[torch.Tensor]:
    """Weight, bias, running mean, running variance."""
    return [*(torch.randn(size).to(dtype) for _ in range(3)), (torch.rand(size) + 0.5).to(dtype)]


LAYERS = [
    *(
        Sample("aten.layer_norm.default", (X.to(t), [5, 4], torch.randn(5, 4).to(t), torch.randn(5, 4).to(t)))
        for t in TYPES
    ),
    Sample("aten.layer_norm.default", (X, [4])),
    Sample("aten.layer_norm.default", (X, [4], torch.randn(4), None, 0.5)),
    Sample("aten.layer_norm.default", (FAR, [50]), atol=FAR_ATOL, rtol=0),
    Sample("aten.layer_norm.default", (X.bfloat16(), [4], torch.randn(4), torch.randn(4))),
    *(
        Sample("aten.native_layer_norm.default", (X.to(t), [4], torch.randn(4).to(t), None, 1e-5))
        for t in TYPES
    ),
    Sample("aten.native_layer_norm.default", (X.half(), [4], torch.randn(4), torch.randn(4), 1e-5)),
    *(Sample("aten.rms_norm.default", (X.to(t), [4], torch.randn(4).to(t))) for t in TYPES),
    *(
        Sample("aten.rms_norm.default", ((X * 1e-3).to(t), [5, 4], None), name=f"rms_norm-{t}-small")
        for t in TYPES
    ),
    Sample("aten.rms_norm.default", (X, [4], None, 0.1)),
    *(Sample("aten._fused_rms_norm.default", (X.to(t), [4], torch.randn(4).to(t), 1e-6)) for t in TYPES),
    *(Sample("aten.group_norm.default", (X.to(t), 3, *channels(t)[:2])) for t in TYPES),
    Sample("aten.group_norm.default", (X, 2)),
    Sample("aten.group_norm.default", (ROWS, 6)),
    Sample("aten.group_norm.default", (FAR, 1), atol=FAR_ATOL, rtol=0),
    *(
        Sample("aten.native_group_norm.default", (X.to(t), *channels(t)[:2], 2, 6, 20, 3, 1e-5))
        for t in TYPES
    ),
    Sample("aten.native_group_norm.default", (X.half(), *channels()[:2], 2, 6, 20, 2, 1e-5)),
    Sample("aten.rms_norm.default", (COMPLEX, [4], None)),
    Sample("aten.rms_norm.default", (COMPLEX, [5, 4], COMPLEX[0, 0], 0.1)),
]

BATCHES = [
    *(Sample("aten.batch_norm.default", (X.to(t), *channels(t), False, 0.1, 1e-5, True)) for t in TYPES),
    Sample("aten.batch_norm.default", (X.bfloat16(), *channels(), False, 0.1, 1e-5, True)),
    Sample("aten.batch_norm.default", (ROWS, None, None, *channels()[2:], False, 0.1, 1e-5, True)),
    *(
        Sample("aten.batch_norm.default", (x, *channels(), True, 0.25, 1e-3, True), functional=True)
        for x in (X, ROWS, X.half(), X.bfloat16())
    ),
    # Statistics of halves, without a parameter that is wider, are rounded; of bfloat16 at each step.
    *(
        Sample(
            "aten.batch_norm.default",
            (x.bfloat16() * 3 + 1, *channels(torch.bfloat16), True, momentum, 0.5, True),
            functional=True,
            rtol=0,
            atol=0,
        )
        for x, momentum in ((X, 0.3), (ROWS, -1.0))
    ),
    Sample(
        "aten.batch_norm.default",
        (X.half() * 3 + 1, *channels(torch.half), True, 0.3, 0.5, True),
        functional=True,
    ),
    Sample(
        "aten.batch_norm.default",
        (X.double(), *channels(torch.float64), True, 0.1, 1e-5, True),
        functional=True,
    ),
    Sample("aten.batch_norm.default", (X, None, None, None, None, True, 0.1, 1e-5, True)),
    Sample("aten.native_batch_norm.default", (X, *channels(), False, 0.1, 1e-5)),
    Sample("aten.native_batch_norm.default", (X, *channels(), True, 0.1, 1e-5), functional=True),
    Sample("aten._native_batch_norm_legit.default", (X, *channels(), True, 0.1, 1e-5), functional=True),
    Sample("aten._native_batch_norm_legit.default", (X, *channels(), False, 0.1, 1e-5), functional=True),
    Sample("aten._native_batch_norm_legit.no_stats", (X, *channels()[:2], True, 0.1, 1e-5)),
    Sample("aten._native_batch_norm_legit.no_stats", (X.half(), None, None, True, 0.1, 1e-5)),
    Sample("aten._native_batch_norm_legit_no_training.default", (X, *channels(), 0.1, 1e-5)),
    Sample("aten._native_batch_norm_legit_no_training.default", (X.half(), *channels(torch.half), 0.1, 1e-5)),
    Sample("aten._native_batch_norm_legit_functional.default", (X, *channels(), True, 0.1, 1e-5)),
    Sample("aten._native_batch_norm_legit_functional.default", (X, *channels(), False, 0.1, 1e-5)),
    Sample("aten.instance_norm.default", (X, *channels()[:2], None, None, True, 0.1, 1e-5, True)),
    Sample(
        "aten.instance_norm.default",
        (FAR, None, None, None, None, True, 0.1, 1e-5, True),
        atol=FAR_ATOL,
        rtol=0,
    ),
    Sample("aten.instance_norm.default", (X, *channels(), False, 0.1, 1e-5, True)),
    *(
        Sample("aten.instance_norm.default", (X.to(t), *channels(t), True, 0.3, 1e-5, True), functional=True)
        for t in TYPES
    ),
]

WEIGHTS = [
    Sample("aten._weight_norm.default", (X, torch.randn(2, 1, 1, 1), 0)),
    Sample("aten._weight_norm.default", (ROWS, torch.randn(1, 6), 1)),
    Sample("aten._weight_norm.default", (ROWS, torch.randn(1), -1)),
    Sample("aten._weight_norm_interface.default", (ROWS, torch.randn(7, 1), 0)),
    Sample("aten._weight_norm_interface.default", (ROWS.double(), torch.randn(1, 6).double(), 1)),
    Sample("aten.norm_except_dim.default", (X, 2, 0)),
    Sample("aten.norm_except_dim.default", (ROWS, 2, 1)),
]

SAMPLES = LAYERS + BATCHES + WEIGHTS
