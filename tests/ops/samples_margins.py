"""Samples of `lowering/stablehlo/ops/margins.py`."""

from __future__ import annotations

import torch

from tests.ops.data import F32, F64, NAN, floats
from tests.ops.driver import Sample

LOSS = "aten.multilabel_margin_loss.default"
FORWARD = "aten.multilabel_margin_loss_forward.default"
ONE = "aten.multi_margin_loss.default"
NONE, MEAN, SUM = range(3)
# What stands behind a -1 is no label; a row may have none, or all.
LABELS = torch.tensor([[1, 2, -1, 0], [3, -1, -1, -1], [-1, 3, 1, 2], [0, 1, 2, 3], [2, 2, -1, 0]])
LABEL = torch.tensor([0, 3, 1, 1, 2])
X = floats(5, 4)
MISSING = torch.where(torch.eye(5, 4).bool(), NAN, X)

SAMPLES = [
    *(Sample(LOSS, (X.to(t), LABELS, mode)) for mode in (MEAN, SUM, NONE) for t in (F32, F64)),
    *(Sample(LOSS, (X[0], LABELS[0], mode)) for mode in (MEAN, SUM)),
    *(Sample(LOSS, (torch.tensor(0.5), torch.tensor(0), mode)) for mode in (MEAN, SUM)),
    Sample(LOSS, (MISSING, LABELS, NONE), name="multilabel_margin_loss-nan"),
    *(Sample(FORWARD, (X, LABELS, mode)) for mode in (MEAN, SUM, NONE)),
    Sample(FORWARD, (X[0], LABELS[0], MEAN)),
    *(
        Sample(ONE, (X.to(t), LABEL, p, 0.5, None, mode))
        for mode in (MEAN, SUM, NONE)
        for p in (1, 2)
        for t in (F32, F64)
    ),
    *(Sample(ONE, (X, LABEL, 2, 1.5, X[:4, 0], mode)) for mode in (MEAN, SUM, NONE)),
    *(Sample(ONE, (X[0], torch.tensor(2), 1, 1, None, mode)) for mode in (MEAN, NONE)),
    Sample(ONE, (MISSING, LABEL, 1, 1, None, NONE), name="multi_margin_loss-nan"),
]
