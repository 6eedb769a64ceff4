"""Machines that serve: numpy and IREE's runtime, and neither torch, jax nor a compiler."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import bridge
from bridge.verification.compare import compare
from bridge.verification.draw import example_call
from bridge.verification.tolerances import rounding_of
from tests.bridge.environments import environment
from tests.bridge.samples import path_of
from tests.models.registry import models

ROOT = Path(__file__).parents[2]
RUNTIME = ("numpy", "iree-base-runtime")
# Batch and length: the example's, the ends of both, and others.
SIZES = ((3, 7), (1, 1), (8, 16), (1, 16), (8, 1), (2, 2), (5, 11), (7, 13))
SERVE = """
import importlib.util
import json
import sys
import numpy as np
import bridge

for package in ("torch", "jax", "jaxlib", "iree.compiler", "typer", "rich"):
    assert importlib.util.find_spec(package) is None, package
compiled = bridge.load("bert.bridge").compile("iree")
# Twice: the first call at new sizes finds out that nothing compiles.
for _ in range(2):
    for name in sys.argv[1:]:
        results = compiled(**np.load(f"{name}.npz"))
        np.savez(f"{name}-results.npz", *results)
print(json.dumps(compiled.report.json()))
"""


class Artifact(NamedTuple):
    """`expected`: eager's results by the name of a call. `kind`: of the rounding."""

    folder: Path
    expected: dict[str, list[torch.Tensor]]
    kind: Any


def run(python: Path, folder: Path, *words: object) -> str:
    done = python_there(python, folder, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def python_there(python: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [str(python), *map(str, words)], capture_output=True, text=True, cwd=folder, env=given
    )


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A BERT of any batch and length in an artifact, a call at each of the sizes, and eager's results."""
    folder = tmp_path_factory.mktemp("serving")
    model = models()["bert-dynamic"].build()
    lowered = bridge.lower(model.export())
    assert lowered.compile("iree").report.no_dynamic == {}
    lowered.save(folder / "bert.bridge")
    batch, length = lowered.program.graph.values["input_ids"].sizes  # pyright: ignore[reportAttributeAccessIssue]
    expected: dict[str, list[torch.Tensor]] = {}
    for seed, (rows, words) in enumerate(SIZES):
        sizes = {str(batch): rows, str(length): words}
        _, kwargs = example_call(lowered, seed=seed, sizes=sizes)
        np.savez(folder / f"{rows}x{words}.npz", **kwargs)
        with torch.no_grad():
            expected[f"{rows}x{words}"] = list(model.module(**kwargs))
    return Artifact(folder, expected, rounding_of(lowered.program))


def assert_eager(name: str, got: list[np.ndarray], artifact: Artifact) -> None:
    wanted = artifact.expected[name]
    assert len(got) == len(wanted)
    for value, want in zip(got, wanted, strict=True):
        found = compare(f"a result at {name}", torch.from_numpy(value), want, artifact.kind)
        assert found.passed, found.problem


@pytest.mark.conformance
def test_every_size_is_served(artifact: Artifact, tmp_path: Path) -> None:
    python = environment(tmp_path / "bare", *RUNTIME)
    report = json.loads(run(python, artifact.folder, "-c", SERVE, *artifact.expected))
    for name in artifact.expected:
        with np.load(artifact.folder / f"{name}-results.npz") as results:
            assert_eager(name, list(results.values()), artifact)
    new = len(SIZES) - 1
    assert report["tiers"] == {"static": 2, "dynamic": 2 * new, "aten": 0}
    assert report["fallbacks"] == []
    assert "needs the package jax" in report["no_compiler"]["0"]


@pytest.mark.conformance
def test_every_size_is_served_on_the_command_line(artifact: Artifact, tmp_path: Path) -> None:
    python = environment(tmp_path / "typed", *RUNTIME, "typer", "rich")
    told = run(python, artifact.folder, "-m", "bridge", "info", "bert.bridge")
    assert "1 segment, 83 nodes on StableHLO, 0 on ATen" in told
    for name in artifact.expected:
        words = ("run", "bert.bridge", "-i", f"{name}.npz", "-o", f"{name}-outputs.npz")
        assert "output " in run(python, artifact.folder, "-m", "bridge", *words)
        with np.load(artifact.folder / f"{name}-outputs.npz") as results:
            assert_eager(name, list(results.values()), artifact)


def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    bare = environment(tmp_path / "bare", *RUNTIME)
    done = python_there(bare, tmp_path, "-m", "bridge", "info", "x.bridge")
    wanted = "bridge: the command line needs the package typer, which is not installed: pip install typer\n"
    assert (done.returncode, done.stderr) == (1, wanted)
    bridge.lower(path_of("mlp_dynamic")).save(tmp_path / "mlp.bridge")
    done = python_there(bare, tmp_path, "-c", "import bridge; bridge.load('mlp.bridge').compile('iree')")
    assert done.stderr.splitlines()[-1].endswith(
        "segment 0 has to run on ATen, which needs the package torch, which is not installed: "
        "pip install torch; iree segment_0: its passes need the package jax, which is not installed: "
        "pip install jax"
    )
