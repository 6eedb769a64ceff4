"""A new pass over modules is one file and one line in a target's pipeline: shown in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

PASS = '''\
"""Cancel the negation of a negation."""

from __future__ import annotations

from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import maker, operations, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        inner = maker(op.operand, "stablehlo.negate") if op.operation.name == "stablehlo.negate" else None
        if inner is not None:
            replace(op, Value(inner.operand))
'''

# What is put into XLA's pipeline, before a line that is there.
BEFORE, LINE = (
    '        stablehlo_pass("attention-in-blocks"),\n',
    '        stablehlo_pass("cancel-negations"),\n',
)

KEY = """\
from lowering.targets import get_engine
from lowering.targets.sources import digest
from lowering.targets.target import CPU
print(get_engine("xla").pipeline(CPU).identity(), digest(get_engine("xla"), CPU))
"""

TEST = """\
import torch

import bridge
from bridge.binaries import Site, after_passes
from lowering.stablehlo.hlo import text_of
from lowering.targets import get_engine
from lowering.targets.target import CPU


class Twice(torch.nn.Module):
    def forward(self, x):
        return -(-x)


def test_it_runs():
    lowered = bridge.lower(Twice(), (torch.ones(2),))
    assert "negate" in text_of(lowered.module(0).code)
    assert "negate" not in text_of(after_passes(lowered.module(0), Site(get_engine("xla"), CPU)).code)
"""


def test_one_file_and_its_line(tmp_path: Path) -> None:
    for package in ("bridge", "lowering", "runtime"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = run("-c", KEY)
    (tmp_path / "lowering" / "stablehlo" / "passes" / "cancel_negations.py").write_text(PASS)
    assert run("-c", KEY) == before, "a pass that no pipeline lists changes no key"
    pipeline = tmp_path / "lowering" / "targets" / "xla" / "pipeline.py"
    text = pipeline.read_text()
    assert text.count(BEFORE) == 1
    pipeline.write_text(text.replace(BEFORE, LINE + BEFORE))
    (tmp_path / "test_cancel_negations.py").write_text(TEST)
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cancel_negations.py")
    assert "\n  cancel-negations: Cancel the negation of a negation.\n" in run("-m", "bridge", "passes")
    identity, digest = run("-c", KEY).rsplit(maxsplit=1)
    assert "cancel-negations" in identity
    assert digest != before.split()[-1]
