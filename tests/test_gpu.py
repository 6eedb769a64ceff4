"""The same programs on a GPU, where there is one: `pytest -m gpu`, with the `cuda` extra installed."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import pytest

import bridge
from bridge.errors import UsageError
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


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_a_loaded_artifact_runs_on_its_device(engine: str, tmp_path: Path) -> None:
    sample = PROGRAMS[0]
    path = bridge.lower(sample.path).save(tmp_path / "a.bridge")
    check_values(sample, bridge.load(path, device="cuda").compile(engine))
    with pytest.raises(UsageError, match="the device cuda:99 cannot be used"):
        bridge.load(path, device="cuda:99")
