"""`--timeout` and `--max-memory`: what does not end, or takes all memory, ends in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
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
    command = [sys.executable, "-m", "bridge", "--quiet", *map(str, arguments)]
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


# Each waits for its limit; the engine does not matter to the process that holds it.
ENGINES = ["iree", *(pytest.param(name, marks=pytest.mark.conformance) for name in ("xla", "aten"))]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_without_end(engine: str, files: Path) -> None:
    source, x = files / "Forever.pt2", files / "x.npy"
    done = _run("run", source, "-i", x, "--engine", engine, "--timeout", 12)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "bridge: the command took more than 12 s (--timeout) and was ended\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_size_beyond_all_memory(engine: str, files: Path) -> None:
    source, x = files / "Huge.pt2", files / "x.npy"
    done = _run("run", source, "-i", x, "--engine", engine, "--max-memory", "4G", "--timeout", 60)
    if done.returncode == 0:  # a compiler may see that two elements are wanted
        assert "3." in done.stdout
        return
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("bridge: ")


def test_what_the_command_started_is_ended(tmp_path: Path) -> None:
    """As IREE's compiler is, which would go on for minutes: here a shell, and what that waits for."""
    environment = {**os.environ, "BRIDGE_TEST_MARK": str(tmp_path)}
    code = (
        "import subprocess\n"
        "from bridge.cli.limits import limit\n"
        "limit(0.5, None)\n"
        "subprocess.run(['sh', '-c', 'sleep 600; true'])\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == "bridge: the command took more than 0.5 s (--timeout) and was ended\n"
    assert [process for process in os.listdir("/proc") if _has(process, f"BRIDGE_TEST_MARK={tmp_path}")] == []


def _has(process: str, mark: str) -> bool:
    """Whether a process has this variable in its environment."""
    try:
        return process.isdigit() and mark.encode() in Path("/proc", process, "environ").read_bytes()
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
