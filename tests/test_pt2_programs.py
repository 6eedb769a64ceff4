"""Every program of tests/data/pt2, of three torch versions, on every engine and through an artifact."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.lowered import lower_program
from lowering.frontend.pt2 import read
from lowering.ir.plan import Placement
from lowering.ir.weights import Weights
from tests.pt2_samples import DATA_DEPENDENT, ROOT, SAMPLES, Pt2Sample, check_values

_REPOSITORY = ROOT.parents[2]


@pytest.mark.parametrize("engine", ["iree", "xla", "aten"])
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_equals_eager(sample: Pt2Sample, engine: str) -> None:
    compiled = bridge.lower(sample.path).compile(engine, on_new_size="wait")
    if engine != "aten" and sample.name != DATA_DEPENDENT:
        assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons
        assert len(compiled.report.plan.segments) == 1
    written = {n for n, v in sample.buffers_after().items() if n in compiled.buffers}
    assert written == set(compiled.buffers)
    check_values(sample, compiled)


def _run(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=_REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reading_and_lowering_import_no_torch() -> None:
    code = """
import sys
import bridge
from tests.pt2_samples import SAMPLES
for sample in SAMPLES:
    lowered = bridge.lower(sample.path)
    lowered.placement, str(lowered.program)
    assert "torch" not in sys.modules, sample
print(len(SAMPLES))
"""
    assert int(_run(code)) == len(SAMPLES) > 40


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_lowering_opens_no_weight(sample: Pt2Sample) -> None:
    def refuse() -> np.ndarray:
        raise AssertionError("a weight was opened")

    program, weights = read(sample.path)
    closed = {key: replace(storage, open=refuse) for key, storage in weights.storages.items()}
    lowered = lower_program(program, Weights(closed, weights.views))
    assert lowered.placement or not program.graph.nodes


def test_artifacts_run_through_iree_without_torch_and_jax(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import bridge
from tests.pt2_samples import DATA_DEPENDENT, NEWEST
for sample in NEWEST:
    if sample.name != DATA_DEPENDENT:
        lowered = bridge.lower(sample.path)
        lowered.compile("iree")
        lowered.save(Path(sys.argv[1]) / str(sample))
"""
    _run(code, tmp_path)
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax", "jaxlib"):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
from pathlib import Path
import bridge
from tests.pt2_samples import DATA_DEPENDENT, NEWEST, check_values
for sample in NEWEST:
    if sample.name != DATA_DEPENDENT:
        lowered = bridge.load(Path(sys.argv[1]) / str(sample))
        known = set(lowered.binaries)
        check_values(sample, lowered.compile("iree"))
        assert set(lowered.binaries) == known, f"{sample} was compiled anew"
print("ran")
"""
    assert _run(code, tmp_path) == "ran\n"
