"""The same programs on a GPU, where there is one: `pytest -m gpu`, with the `cuda` extra installed."""

from __future__ import annotations

import ctypes.util

import pytest

import bridge
from lowering.ir.errors import EngineError
from tests.pt2_samples import DATA_DEPENDENT, SAMPLES, Pt2Sample, check_values

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(ctypes.util.find_library("cuda") is None, reason="no CUDA driver on this machine"),
]

PROGRAMS = [s for s in SAMPLES if s.path.parent.name == "torch-2.13.0" and s.name != DATA_DEPENDENT]


@pytest.mark.parametrize("engine", ["iree", "xla"])
@pytest.mark.parametrize("sample", PROGRAMS, ids=str)
def test_equals_eager_on_cuda(sample: Pt2Sample, engine: str) -> None:
    try:
        compiled = bridge.lower(sample.path).compile(engine, device="cuda")
    except EngineError as error:
        pytest.fail(f"{engine} has no CUDA here: {error}")
    check_values(sample, compiled)
