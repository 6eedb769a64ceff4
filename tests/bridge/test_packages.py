"""A machine that lacks a package: one sentence, which says what is missing and what brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bridge
from bridge import binaries
from tests.bridge.samples import path_of

HIDING = """
import sys
hidden = sys.argv[1].split(",")
class Hide:
    def find_spec(self, name, path=None, target=None):
        if any(name == word or name.startswith(word + ".") for word in hidden):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
sys.argv[1:] = sys.argv[2:]
"""
COMMAND_LINE = """
from bridge.cli import main
main()
"""
FILE = path_of("mlp_dynamic")
COMMANDS = {
    "lower": ("jax", ["lower", str(FILE), "-o", "out.bridge"], "jax"),
    "aten": ("torch", ["run", str(FILE), "-e", "aten", "-i", "x.npy"], "torch"),
    "verify": ("torch", ["verify", str(FILE)], "torch"),
}


def run(folder: Path, hidden: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDING + COMMAND_LINE, hidden, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_a_new_size_of_an_artifact_without_jax_and_torch(tmp_path: Path) -> None:
    for name, option in (("any", "--dynamic"), ("some", "--no-dynamic")):
        words = ("lower", FILE, "-e", "iree", option, "-o", f"{name}.bridge")
        assert not run(tmp_path, "nothing", *words).returncode
    for rows, name, status in ((3, "some", 0), (5, "any", 0), (5, "some", 1)):
        np.save(tmp_path / "x.npy", np.zeros((rows, 8), np.float32))
        done = run(tmp_path, "jax,torch", "run", f"{name}.bridge", "-i", "x.npy")
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
    assert "to compile for new sizes needs the package jax" in done.stderr
    assert "has to run on ATen, which needs the package torch" in done.stderr


class Scaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.7310586


def test_nothing_is_compiled_without_the_passes_that_results_rest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """IREE would compute some operations of the canonical module wrongly: ATen runs the segment."""
    x = torch.randn(3)
    lowered = bridge.lower(Scaled(), (x,))
    lowered.module(0)
    monkeypatch.setattr(binaries, "has_passes", lambda: False)
    compiled = lowered.compile("iree")
    (reason,) = compiled.report.plan.reasons.values()
    assert "its passes need the package jax" in reason
    assert torch.equal(compiled(x), x * 0.7310586)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_lacks(name: str, tmp_path: Path) -> None:
    hidden, words, missing = COMMANDS[name]
    np.save(tmp_path / "x.npy", np.zeros((3, 8), np.float32))
    done = run(tmp_path, hidden, *words)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done
    assert done.stderr.startswith("bridge: "), done.stderr
    assert missing in done.stderr
    assert "pip install" in done.stderr


def test_a_name_says_what_it_lacks() -> None:
    command = [sys.executable, "-c", HIDING + "import bridge; bridge.verify", "torch"]
    done = subprocess.run(command, capture_output=True, text=True)
    wanted = "bridge.verify needs the package torch, which is not installed: pip install torch"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {wanted}"
