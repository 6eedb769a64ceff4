"""Our own programs say what they do when asked, start nothing then, and refuse what they do not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("program", ["tests.conformance", "tests.determinism", "tests.growth"])
def test_help(program: str) -> None:
    command = [sys.executable, "-m", program]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert helped.returncode == 0, helped.stderr
    assert helped.stdout.startswith(f"usage: python -m {program}")
    refused = subprocess.run([*command, "--no-such"], capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 2
    assert "no-such" in refused.stderr
