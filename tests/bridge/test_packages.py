"""A machine that lacks a package: one sentence, which says what is missing and what brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
from bridge.cli import main
main()
"""
FILE = path_of("mlp_dynamic")
COMMANDS = {
    "lower": ("jax", ["lower", str(FILE), "-o", "out.bridge"], "jax"),
    "aten": ("torch", ["run", str(FILE), "-e", "aten", "-i", "x.npy"], "torch"),
    "verify": ("torch", ["verify", str(FILE)], "torch"),
    "iree's compiler": (
        "iree.compiler",
        ["lower", str(FILE), "-e", "iree", "-o", "out.bridge"],
        "iree.compiler",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_lacks(name: str, tmp_path: Path) -> None:
    import numpy as np

    hidden, words, missing = COMMANDS[name]
    np.save(tmp_path / "x.npy", np.zeros((3, 8), np.float32))
    done = subprocess.run(
        [sys.executable, "-c", HIDING, hidden, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done
    assert done.stderr.startswith("bridge: "), done.stderr
    assert missing in done.stderr
    assert "pip install" in done.stderr
