"""Nodes of these families that stay on ATen, each with the reason a user reads."""

from __future__ import annotations

import pytest
import torch

from tests.ops.data import F32, floats, integers
from tests.ops.driver import Sample, reason_not_lowered
from tests.ops.samples_chunked_loss import REDUCED, ROWS
from tests.ops.samples_recurrent import layers

X = floats(3, 4)


def packed_lstm() -> Sample:
    """Two sequences, of two steps and of one."""
    _, hx, params, *_ = layers("lstm", batch=2).args
    return Sample("aten.lstm.data", (X, torch.tensor([2, 1]), hx, params, True, 1, 0.0, False, False))


REFUSED = [
    (Sample("aten.dropout.default", (X, 0.5, True)), "dropout in train mode draws random numbers"),
    (Sample("aten.native_dropout.default", (X, 0.0, True)), "dropout in train mode draws random numbers"),
    (Sample("aten.rrelu.default", (X, 0.1, 0.3, True)), "rrelu in train mode draws random slopes"),
    (
        Sample("aten.one_hot.default", (integers(3, low=0),)),
        "one_hot without num_classes needs the data to know its size",
    ),
    (
        Sample("aten.hann_window.default", (8,), {"dtype": torch.float16}),
        "eager rounds a half window at every step of its making",
    ),
    (
        Sample("aten.hann_window.default", ((1 << 20) + 1,)),
        "a window of 1048577 elements would bloat the module",
    ),
    (Sample("aten.zeros.default", ([2],), {"dtype": torch.complex32}), "StableHLO have no complex32"),
    (Sample("aten.histc.default", (floats(257).bfloat16(), 4)), "eager counts halves in halves"),
    (Sample("aten.mode.default", (integers(17),)), "the mode of 17 elements"),
    (
        Sample("aten.linalg_matrix_exp.default", (floats(3, 3, dtype=torch.half),)),
        "eager's own exponential of float16 matrices has other values",
    ),
    (
        Sample(
            REDUCED,
            (
                X,
                floats(5, 4),
                integers(3, low=0, high=4),
                None,
                None,
                "mean",
                -100,
                0.0,
                2,
                "accurate",
                F32,
                True,
                True,
                False,
                False,
            ),
        ),
        "the gradients of a chunked linear cross-entropy",
    ),
    (
        Sample(
            ROWS,
            (
                X.half(),
                floats(5, 4).half(),
                integers(3, low=0, high=4),
                None,
                None,
                -100,
                2,
                "compact",
                X.dtype,
            ),
        ),
        "a chunked linear cross-entropy with logits of float16",
    ),
    (
        Sample("aten.adaptive_avg_pool3d.default", (floats(1, 4, 4, 4, dtype=torch.half), (2, 2, 2))),
        "adds up the halves of three-dimensional windows in halves",
    ),
    (
        Sample(
            "aten.conv_transpose2d.input",
            (
                floats(1, 2, 4, 4).bfloat16(),
                floats(2, 2, 3, 3).bfloat16(),
                None,
                [2, 2],
                [1, 1],
                [2, 2],
                1,
                [3, 3],
            ),
        ),
        "where the output is padded by a stride or more",
    ),
    (layers("gru", depth=2, dropout=0.5, train=True), "dropout in train mode draws random numbers"),
    (packed_lstm(), "the lengths of packed sequences are known only once the data is"),
]


@pytest.mark.parametrize(("sample", "reason"), REFUSED, ids=lambda value: str(value))
def test_refusal_gives_its_reason(sample: Sample, reason: str) -> None:
    assert reason in str(reason_not_lowered(sample))
