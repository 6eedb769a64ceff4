"""The demonstration, from training to the table, as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.bridge.test_cli import refused


def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge", "demo", "--output", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^\$ python -m bridge (\w+) ", done.stdout, re.MULTILINE)
    assert steps == ["info", "lower", "verify", "run"]
    right = re.search(r"eager classifies (\d+) of 64 held-out digits correctly", done.stdout)
    assert right is not None
    assert int(right[1]) > 55
    table = done.stdout.rpartition("| engine |")[2]
    for engine, nodes in (("iree", "9 / 0"), ("xla", "9 / 0"), ("aten", "0 / 9")):
        row = rf"^\| {engine} \| 1 \| {nodes} \| \d\.\de[-+]\d+ \| 64 of 64 \| \d+\.\d\d \|$"
        assert re.search(row, table, re.MULTILINE), table
    assert (tmp_path / "demo" / "digits.bridge" / "manifest.json").is_file()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused("file/demo: Not a directory", "demo", "--output", tmp_path / "file" / "demo")
