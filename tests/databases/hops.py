"""The database of higher-order operators: `torch.testing._internal.hop_db`."""

from __future__ import annotations

import random
import warnings
from functools import cache, partial
from typing import Any

import torch

from tests.databases.judge import Arguments, Case
from tests.opdb.cases import Call

_CALLS = 3


@cache
def _database() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.hop_db import hop_db
    return {entry.full_name: entry for entry in hop_db}


def names() -> list[str]:
    """All entries, also those that torch tests on GPUs alone."""
    return sorted(_database())


def cases(name: str) -> list[Case]:
    """One case for each sample, float32; each call has the tensors of samples made with another seed."""
    entry = _database()[name]
    drawn = [_samples(entry, seed) for seed in range(_CALLS)]
    found = []
    for index, samples in enumerate(zip(*drawn, strict=True)):
        modules = [Call(entry.op, sample) for sample in samples]
        calls = tuple(Arguments(module.tensors, {}) for module in modules)
        found.append(Case(f"{name}/hop/{index}", partial(Call, entry.op, samples[0]), calls[0], calls))
    return found


def _samples(entry: Any, seed: int) -> list[Any]:
    random.seed(seed)
    torch.manual_seed(seed)
    return list(entry.sample_inputs("cpu", torch.float32, requires_grad=False))
