"""`--timeout` and `--max-memory`: what does not end, or takes all memory, ends in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop

from tests.bridge.samples import path_of


class Forever(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return while_loop(lambda y: (y > -1).any(), lambda y: (y * 0.5 + 1,), (x,))[0]


class Huge(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.full((10**12,), 2.0)[:2]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limits")
    np.save(folder / "x.npy", np.ones(2, np.float32))
    x = (torch.ones(2),)
    for module in (Forever(), Huge()):
        exported = torch.export.export(module, x)
        torch.export.save(exported, folder / f"{type(module).__name__}.pt2")
    return folder


@pytest.mark.parametrize("engine", ["iree", "xla", "aten"])
def test_a_loop_without_end(engine: str, files: Path) -> None:
    began = time.monotonic()
    source, x = files / "Forever.pt2", files / "x.npy"
    done = _run("run", source, "-i", x, "--engine", engine, "--timeout", 12)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "bridge: the command took more than 12 s (--timeout) and was ended\n"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("engine", ["iree", "xla", "aten"])
def test_a_size_beyond_all_memory(engine: str, files: Path) -> None:
    source, x = files / "Huge.pt2", files / "x.npy"
    done = _run("run", source, "-i", x, "--engine", engine, "--max-memory", "4G", "--timeout", 60)
    if done.returncode == 0:  # a compiler may see that two elements are wanted
        assert "3." in done.stdout
        return
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("bridge: ")


def test_a_compiler_that_is_running_is_ended(files: Path, tmp_path: Path) -> None:
    before = set(os.listdir("/proc"))
    done = _run("lower", path_of("convnet"), "-o", tmp_path / "a.bridge", "--timeout", "0.01")
    assert done.stderr == "bridge: the command took more than 0.01 s (--timeout) and was ended\n"
    assert os.listdir(tmp_path) == []
    after = [p for p in os.listdir("/proc") if p.isdigit() and p not in before and _is_compiler(p)]
    assert after == []


def _is_compiler(process: str) -> bool:
    try:
        return b"iree-compile" in Path("/proc", process, "cmdline").read_bytes()
    except OSError:
        return False


def test_a_command_within_its_limits_is_as_without(tmp_path: Path) -> None:
    plain = _run("info", path_of("mlp"))
    limited = _run("info", path_of("mlp"), "--timeout", 60, "--max-memory", "8GB")
    assert (limited.returncode, limited.stdout, limited.stderr) == (0, plain.stdout, plain.stderr)
    missing = _run("info", tmp_path / "none.pt2", "--timeout", 60)
    assert missing.returncode == 1
    assert missing.stderr == f"bridge: {tmp_path / 'none.pt2'}: no such file\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--timeout", "0", "--timeout takes a number of seconds above 0, not 0.0"),
        ("--timeout", "nan", "--timeout takes a number of seconds above 0, not nan"),
        (
            "--max-memory",
            "511M",
            "--max-memory takes a number of bytes, as 2G, and 512M at least, not '511M'",
        ),
        (
            "--max-memory",
            "lots",
            "--max-memory takes a number of bytes, as 2G, and 512M at least, not 'lots'",
        ),
    ],
)
def test_limits_that_are_none(option: str, value: str, message: str) -> None:
    done = _run("info", path_of("mlp"), option, value)
    assert (done.returncode, done.stderr) == (1, f"bridge: {message}\n")
