"""Samples of `lowering/stablehlo/ops/activation.py`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, INF, NAN, floats, integers, special
from tests.ops.driver import Sample


def sample(name: str, *args: Any, **kwargs: Any) -> Sample:
    return Sample(f"aten.{name}.default", args, kwargs)


X = floats(4, 6, low=-9, high=9)
WIDE = floats(64, low=-30, high=30)

# Name -> the arguments after the tensor, one sample for each.
CALLS: dict[str, list[tuple[Any, ...]]] = {
    "celu": [(), (0.5,)],
    "elu": [(), (0.5, 2.0, 1.5)],
    "hardshrink": [(), (2.0,)],
    "hardsigmoid": [()],
    "hardswish": [()],
    "hardtanh": [(), (-2.0, 3.0)],
    "leaky_relu": [(), (0.2,), (-0.3,)],
    "log_sigmoid": [()],
    "mish": [()],
    "relu": [()],
    "relu6": [()],
    "selu": [()],
    "silu": [()],
    "softplus": [(), (2.0, 3.0)],
    "softshrink": [(), (2.0,)],
    "threshold": [(0.1, 20.0)],
    "log_sigmoid_forward": [()],
}

SAMPLES: list[Sample] = [
    *(
        sample(name, x, *rest)
        for name, calls in CALLS.items()
        for rest in calls
        for x in (
            X,
            WIDE,
            special(),
            *(floats(17, low=-9, high=9, dtype=dtype) for dtype in (BF16, F16, F64)),
            floats(),
            floats(0, 2),
        )
    ),
    # Not at infinities: eager's vectorised gelu gives NaN for inf, its scalar one inf.
    *(
        sample("gelu", x)
        for x in (X, WIDE, floats(17, dtype=BF16), floats(17, dtype=F16), floats(17, dtype=F64), floats())
    ),
    *(
        sample("gelu", x, approximate="tanh")
        for x in (X, WIDE, special(), floats(17, dtype=BF16), floats(17, dtype=F16), floats(17, dtype=F64))
    ),
    *(sample(name, integers(9)) for name in ("relu", "relu6")),
    sample("hardtanh", integers(9), -3, 4),
    sample("threshold", integers(9), 2, -7),
    sample("threshold", torch.tensor([NAN, INF, -INF, 0.5]), 0.5, 1.0),
    sample("prelu", floats(2, 3, 4), floats(3, low=0)),
    sample("prelu", floats(2, 3), floats(3)),
    sample("prelu", floats(2, 3, 4, 5, dtype=BF16), floats(1, dtype=BF16)),
    sample("prelu", floats(5), floats(1)),
    sample("_prelu_kernel", floats(2, 3, 4), floats(1, 3, 1)),
    sample("rrelu", X),
    sample("rrelu", floats(9, dtype=F16), 0.1, 0.5),
    *(sample("glu", floats(4, 6, dtype=dtype), dim) for dtype in (F32, BF16, F16, F64) for dim in (-1, 0)),
    *(
        sample(f"{kind}dropout", *call)
        for kind in ("", "feature_", "alpha_", "feature_alpha_")
        for call in ((floats(3, 4), 0.5, False), (floats(3, 4), 0.0, True), (floats(3, 4), 1.0, True))
    ),
    sample("dropout", special(), 1.0, True),
    sample("native_dropout", floats(3, 4), 0.5, False),
    Sample("aten.relu_.default", (X,), functional=True),
]
