"""Every sample of every family, lowered, compiled, run and compared with eager."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import tests.ops
from runtime.engines import get_engine
from tests.ops.driver import Sample, check


def load_samples() -> list[Sample]:
    """All samples, in the order of their files (`tests/ops/samples_*.py`)."""
    names = sorted(m.name for m in pkgutil.iter_modules(tests.ops.__path__) if m.name.startswith("samples_"))
    return [sample for name in names for sample in importlib.import_module(f"tests.ops.{name}").SAMPLES]


SAMPLES = load_samples()
FIRST_OF_EACH = list({sample.target: sample for sample in reversed(SAMPLES)}.values())[::-1]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_xla_equals_eager(sample: Sample) -> None:
    check(sample, get_engine("xla"))


@pytest.mark.parametrize("sample", FIRST_OF_EACH, ids=str)
def test_iree_equals_eager(sample: Sample) -> None:
    check(sample, get_engine("iree"))
