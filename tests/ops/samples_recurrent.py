"""Samples of `lowering/stablehlo/ops/recurrent.py`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, floats
from tests.ops.driver import Sample

TYPES = (F32, BF16, F16, F64)
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
T, N, WIDTH, H = 3, 2, 4, 6


def weights(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return floats(*shape, low=-0.4, high=0.4, dtype=dtype)


def layers(
    kind: str,
    *,
    dtype: torch.dtype = F32,
    steps: int = T,
    batch: int = N,
    biases: bool = True,
    depth: int = 1,
    both: bool = False,
    batch_first: bool = False,
    project: int = 0,
    train: bool = False,
    dropout: float = 0.0,
) -> Sample:
    """Layers of one kind over a sequence, named by what is not the default."""
    sides, given = 1 + both, project or H
    params: list[torch.Tensor] = []
    for layer in range(depth):
        for _ in range(sides):
            rows, width = GATES[kind] * H, sides * given if layer else WIDTH
            params += [weights(rows, width, dtype=dtype), weights(rows, given, dtype=dtype)]
            params += [weights(rows, dtype=dtype), weights(rows, 1, dtype=dtype)[:, 0]] if biases else []
            params += [weights(project, H, dtype=dtype)] if project else []
    input = (
        floats(batch, steps, WIDTH, dtype=dtype) if batch_first else floats(steps, batch, WIDTH, dtype=dtype)
    )
    h = floats(depth * sides, batch, given, low=-1, high=1, dtype=dtype)
    hx: Any = [h, floats(depth * sides, batch, H, dtype=dtype)] if kind == "lstm" else h
    args = (input, hx, params, biases, depth, dropout, train, both, batch_first)
    about = {"steps": steps, "batch": batch, "biases": biases, "depth": depth, "both": both}
    about |= {"batch_first": batch_first, "project": project, "train": train}
    text = ",".join(f"{key}={value}" for key, value in about.items())
    # Eager's LSTM of bfloat16 may be oneDNN's, which rounds elsewhere: one last place of a result near 1.
    atol, rtol = (2**-8, 0.016) if kind == "lstm" and dtype is BF16 and not project else (None, None)
    return Sample(f"aten.{kind}.input", args, rtol=rtol, atol=atol, name=f"{kind}-{dtype}-{text}")


def cell(kind: str, dtype: torch.dtype = F32, biases: bool = True, batch: int = N) -> Sample:
    rows = GATES[kind] * H
    h = floats(batch, H, low=-1, high=1, dtype=dtype)
    hx: Any = [h, floats(batch, H, dtype=dtype)] if kind == "lstm" else h
    args: list[Any] = [floats(batch, WIDTH, dtype=dtype), hx, weights(rows, WIDTH, dtype=dtype)]
    args += [weights(rows, H, dtype=dtype)]
    args += [weights(rows, dtype=dtype), weights(rows, 1, dtype=dtype)[:, 0]] if biases else []
    return Sample(f"aten.{kind}_cell.default", tuple(args))


SAMPLES = [
    *(layers(kind, dtype=dtype) for kind in GATES for dtype in TYPES),
    *(layers(kind, depth=2, both=True) for kind in ("lstm", "gru")),
    layers("lstm", depth=2, both=True, dtype=BF16),
    *(layers(kind, both=True, batch_first=True, biases=False) for kind in GATES),
    *(layers(kind, batch=1, steps=1) for kind in GATES),
    # Long enough to be a loop.
    *(layers(kind, steps=10, both=True, depth=2) for kind in GATES),
    *(layers(kind, steps=40, batch_first=True, dtype=F64) for kind in GATES),
    *(layers(kind, batch=0) for kind in ("gru", "rnn_tanh")),
    # Dropout stands between layers, and one layer has nothing after it.
    *(layers(kind, train=True, dropout=0.5) for kind in ("lstm", "gru")),
    *(layers("lstm", project=3, dtype=dtype) for dtype in TYPES),
    layers("lstm", project=3, depth=2, biases=False, batch_first=True),
    layers("lstm", project=3, steps=40, both=True),
    *(cell(kind, dtype) for kind in GATES for dtype in TYPES),
    *(cell(kind, biases=False) for kind in GATES),
    *(cell(kind, batch=0) for kind in GATES),
]
