"""The fuzzer of operators: a quick pass over all that are allowed, and that it finds what is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lowering.ir.allowed import allowed
from lowering.ir.custom_operators import schema_of
from tests.fuzz.calls import calls
from tests.fuzz.hostile import draw

ROOT = Path(__file__).parents[2]


def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.operators", "--found", path, *options]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def test_hostile_calls_of_every_allowed_operator(tmp_path: Path):
    done = run(tmp_path / "found.jsonl", "--samples", "--draws", "1", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    # What packages define is called where they are installed.
    missing = allowed() - {row["target"] for row in rows}
    assert all(target.startswith(("torchao.", "transformers.")) for target in missing)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: nothing guards memory")
def test_what_writes_outside_is_found_and_not_tried_again(tmp_path: Path):
    path = tmp_path / "found.jsonl"
    options = ("--samples", "--draws", "8", "--seed", "0", "--only", "aten._foreach_copy.default")
    done = run(path, *options)
    assert done.returncode == 1
    assert done.stdout.startswith("aten._foreach_copy.default: ")
    (row,) = map(json.loads, path.read_text().splitlines())
    assert row["findings"][0][1].startswith("crashed: SIG")
    written = path.read_text()
    assert run(path, *options).returncode == 1
    assert path.read_text() == written


def test_draws_are_the_same_for_the_same_seed():
    known = calls(recorded=False)
    schema = schema_of("aten.gather.default")
    assert schema is not None
    drawn = [draw(schema, known["aten.gather.default"], f"seed {at}") for at in range(30)]
    again = [draw(schema, known["aten.gather.default"], f"seed {at}") for at in range(30)]
    assert repr(drawn) == repr(again)
    indices = [given["index"] for given in drawn if isinstance(given.get("index"), torch.Tensor)]
    extremes = {torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max}
    assert any(extremes & set(index.flatten().tolist()) for index in indices)
    assert len({tuple(index.shape) for index in indices}) > 3
