"""A fixed sample of the module database: the first sample of each of 30 modules, in train mode, on XLA."""

from __future__ import annotations

import random

import pytest

from tests.databases import modules
from tests.databases.judge import judge
from tests.opdb.cases import Word

_COUNT = 25
# Modules that write buffers or draw random numbers when they train.
_STATEFUL = (
    "nn.BatchNorm2d",
    "nn.InstanceNorm1d",
    "nn.MultiheadAttention",
    "nn.TransformerDecoderLayer",
    "nn.TransformerEncoderLayer",
)
_NAMES = sorted({*_STATEFUL, *random.Random(4).sample(modules.names(), _COUNT)})
_UNEXPORTABLE = {"nn.FractionalMaxPool2d": "Expect _random_samples to have the same dtype as input"}


@pytest.mark.parametrize("name", _NAMES)
def test_equals_eager(name: str) -> None:
    row = judge(modules.cases(name, "train")[0], "xla")
    if name in _UNEXPORTABLE:
        assert row.word == Word.NOT_EXPORTABLE.value
        assert _UNEXPORTABLE[name] in row.reason
    else:
        assert row.word in (Word.LOWERED.value, Word.MIXED.value), row.reason
