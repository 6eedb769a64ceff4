"""An engine is one file and one entry point: a package that brings one runs a model by its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lowering.targets import ENTRY_POINTS
from tests.bridge.samples import path_of

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds the engine as an installed package."""
    shutil.copy(HERE / "interpreter.py", tmp_path / "bridge_interpreter.py")
    metadata = tmp_path / "bridge_interpreter-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bridge-interpreter\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\n"
        "interpreter = bridge_interpreter:Interpreter\n"
        "aten = bridge_interpreter:Interpreter\n"  # a name of ours, which is not replaced
    )
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))),
        "BRIDGE_CACHE_BYTES": "0",
    }


def bridge(environment: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge", "--quiet", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_it_lowers_saves_and_is_eager(installed: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "a.bridge"
    done = bridge(installed, "lower", path_of("mlp"), "-e", "interpreter", "-o", target)
    assert (done.returncode, done.stderr) == (0, "")
    done = bridge(installed, "verify", target, "--engine", "interpreter", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["engines"]
    assert (found["engine"], found["passed"]) == ("interpreter", True)
    assert (found["stablehlo_nodes"], found["aten_nodes"], found["problem"]) == (5, 0, "")


def test_it_takes_no_name_of_ours(installed: dict[str, str]) -> None:
    done = bridge(installed, "verify", path_of("mlp"), "--engine", "nope")
    assert (
        done.stderr
        == "bridge: the engine 'nope' does not exist; there are iree, xla, interpreter, aten, auto\n"
    )
    done = bridge(installed, "verify", path_of("mlp"), "--engine", "aten", "--json")
    (found,) = json.loads(done.stdout)["engines"]
    assert (found["stablehlo_nodes"], found["aten_nodes"]) == (0, 5)


def test_without_the_package_there_is_no_such_engine() -> None:
    done = bridge(
        {**os.environ, "PYTHONPATH": str(ROOT)}, "verify", path_of("mlp"), "--engine", "interpreter"
    )
    assert done.returncode == 1
    assert "the engine 'interpreter' does not exist; there are iree, xla, aten, auto" in done.stderr
