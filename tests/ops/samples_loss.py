"""Samples of `lowering/stablehlo/ops/loss.py`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, complexes, floats, integers
from tests.ops.driver import Sample

NONE, MEAN, SUM = 0, 1, 2
REDUCTIONS = (MEAN, NONE, SUM)


def sample(name: str, *args: Any, **kwargs: Any) -> Sample:
    return Sample(f"aten.{name}.default", args, kwargs)


def unit(*shape: int, dtype: torch.dtype = F32) -> torch.Tensor:
    """Values in (0, 1)."""
    return floats(*shape, low=0.02, high=0.98, dtype=dtype)


X, Y = floats(4, 6), floats(2, 4, 6)[1]
SIGNS = integers(6, low=0, high=1) * 2 - 1

OF_TWO: dict[str, tuple[dict[str, Any], ...]] = {
    "mse_loss": ({},),
    "l1_loss": ({},),
    "smooth_l1_loss": ({}, {"beta": 0.3}, {"beta": 0.0}),
    "huber_loss": ({}, {"delta": 0.4}),
    "soft_margin_loss": ({},),
}

REGRESSION = [
    *(
        sample(name, X.to(dtype), Y.to(dtype), reduction=reduction, **kwargs)
        for name, calls in OF_TWO.items()
        for kwargs in calls
        for reduction in REDUCTIONS
        for dtype in (F32, F64, BF16, F16)
    ),
    sample("mse_loss", X, Y[0]),
    sample("mse_loss", floats(0), floats(0)),
    sample("l1_loss", X, integers(6)),
    *(sample("kl_div", -unit(4, 6), unit(6), reduction) for reduction in REDUCTIONS),
    sample("kl_div", -unit(3), torch.tensor([0.0, 1.0, 0.5])),
    sample("kl_div", -unit(4, 6), -unit(6), log_target=True),
    *(sample("hinge_embedding_loss", floats(6), SIGNS, 0.7, reduction) for reduction in REDUCTIONS),
    *(sample("margin_ranking_loss", floats(6), floats(4, 6)[1], SIGNS, 0.3, r) for r in REDUCTIONS),
]

BINARY = [
    *(
        sample("binary_cross_entropy", unit(4, 6, dtype=d), unit(2, 4, 6, dtype=d)[1], None, r)
        for r in REDUCTIONS
        for d in (F32, F64, BF16)
    ),
    sample("binary_cross_entropy", torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])),
    sample("binary_cross_entropy", unit(4, 6), unit(2, 4, 6)[1], unit(6)),
    *(
        sample("binary_cross_entropy_with_logits", floats(4, 6, dtype=d), unit(4, 6, dtype=d), *weights, r)
        for r in REDUCTIONS
        for d in (F32, F64, BF16, F16)
        for weights in ((None, None), (unit(6, dtype=d), None), (None, 3 * unit(6, dtype=d)))
    ),
    sample(
        "binary_cross_entropy_with_logits", torch.tensor([90.0, -90.0, 200.0]), torch.tensor([0.0, 1.0, 1.0])
    ),
]

SCORES, CLASSES = floats(5, 7), integers(5, low=0, high=6)
IGNORING = torch.where(torch.arange(5) == 2, -100, CLASSES)
IMAGE, LABELS = floats(2, 7, 3, 4), integers(2, 3, 4, low=0, high=6)
WEIGHT = unit(7)
CLASS_LOSSES = ("nll_loss", "nll_loss_nd", "cross_entropy_loss")

CLASSIFICATION = [
    *(
        made
        for name in CLASS_LOSSES
        for made in [
            *(sample(name, SCORES.to(d), CLASSES, None, r) for r in REDUCTIONS for d in (F32, F64, BF16)),
            *(sample(name, SCORES, IGNORING, WEIGHT, r) for r in REDUCTIONS),
            sample(name, SCORES, CLASSES, None, MEAN, 3),
            sample(name, SCORES[0], CLASSES[0]),
            sample(name, SCORES, torch.full((5,), -100)),
            sample(name, torch.where(SCORES > 2.5, -torch.inf, SCORES), SCORES.argmin(1)),
        ]
    ),
    *(
        sample(name, IMAGE, LABELS, weight, r)
        for name in ("nll_loss2d", "nll_loss_nd", "cross_entropy_loss")
        for weight in (None, WEIGHT)
        for r in REDUCTIONS
    ),
    *(
        sample("nll_loss_forward", SCORES, target, weight, r, -100)
        for target in (CLASSES, IGNORING)
        for weight in (None, WEIGHT)
        for r in REDUCTIONS
    ),
    # Of a single row eager gives the total weight without a reduction, too.
    *(
        sample("nll_loss_forward", SCORES[0], target, weight, r, 2)
        for target in (torch.tensor(1), torch.tensor(2))
        for weight in (None, WEIGHT)
        for r in REDUCTIONS
    ),
    *(sample("nll_loss2d_forward", IMAGE, LABELS, None, r, -100) for r in REDUCTIONS),
    *(
        sample("cross_entropy_loss", SCORES, target, weight, r, -100, 0.1)
        for target in (CLASSES, IGNORING)
        for weight in (None, WEIGHT)
        for r in REDUCTIONS
    ),
    *(
        sample("cross_entropy_loss", SCORES, unit(5, 7), weight, r, -100, smoothing)
        for weight in (None, WEIGHT)
        for r in REDUCTIONS
        for smoothing in (0.0, 0.2)
    ),
    *(sample("cross_entropy_loss", IMAGE, unit(2, 7, 3, 4), None, r) for r in REDUCTIONS),
    sample("cross_entropy_loss", SCORES.half(), CLASSES),
    sample("cross_entropy_loss", floats(4, 9, dtype=F16), integers(4, low=0, high=8), None, NONE),
]

COUNTS = [
    integers(6, low=0, high=250, dtype=torch.uint8),
    integers(3, 6, low=0, high=250, dtype=torch.uint8)[0],
]

# Where eager's roundings and wrapped integers show.
STEPWISE = [
    *(
        sample(
            "hinge_embedding_loss",
            9 * floats(40, dtype=dtype),
            integers(40) // 5,
            8.396163642458497,
            reduction,
        )
        for dtype in (F16, BF16)
        for reduction in REDUCTIONS
    ),
    *(
        sample("soft_margin_loss", 5 * floats(9, dtype=F16), 5 * floats(1, 9, dtype=F16)[0], r)
        for r in REDUCTIONS
    ),
    *(sample("l1_loss", complexes(7), complexes(2, 7)[1], r) for r in REDUCTIONS),
    *(sample("margin_ranking_loss", *COUNTS, COUNTS[0], 0.5, r) for r in REDUCTIONS),
]

SAMPLES: list[Sample] = [*REGRESSION, *BINARY, *CLASSIFICATION, *STEPWISE]
