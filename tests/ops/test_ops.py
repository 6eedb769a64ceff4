"""Every sample of every family, lowered, compiled, run and compared with eager."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import tests.ops
from lowering.targets import get_engine
from tests.ops.driver import Sample, check


def load_samples() -> list[Sample]:
    """All samples, in the order of their files (`tests/ops/samples_*.py`)."""
    names = sorted(m.name for m in pkgutil.iter_modules(tests.ops.__path__) if m.name.startswith("samples_"))
    return [sample for name in names for sample in importlib.import_module(f"tests.ops.{name}").SAMPLES]


# How many samples of an operator `make test` runs on XLA, and of how many operators it runs one on IREE.
_OF_EACH, _ONE_IN = 2, 9

SAMPLES = load_samples()
FIRST_OF_EACH = list({sample.target: sample for sample in reversed(SAMPLES)}.values())[::-1]


def _first(samples: list[Sample], count: int) -> Iterator[Any]:
    """The samples as parameters: those after the first few of an operator are for `make conformance`."""
    seen: Counter[str] = Counter()
    for sample in samples:
        marks = pytest.mark.conformance if seen[sample.target] >= count else ()
        seen[sample.target] += 1
        yield pytest.param(sample, id=str(sample), marks=marks)


def _some(samples: list[Sample], one_in: int) -> Iterator[Any]:
    for place, sample in enumerate(samples):
        marks = pytest.mark.conformance if place % one_in else ()
        yield pytest.param(sample, id=str(sample), marks=marks)


@pytest.mark.parametrize("sample", _first(SAMPLES, _OF_EACH))
def test_xla_equals_eager(sample: Sample) -> None:
    check(sample, get_engine("xla"))


@pytest.mark.parametrize("sample", _some(FIRST_OF_EACH, _ONE_IN))
def test_iree_equals_eager(sample: Sample) -> None:
    check(sample, get_engine("iree"))
