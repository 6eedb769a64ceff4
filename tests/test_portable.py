"""What holds the tests to lesser processors does hold them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests import portable

ROOT = Path(__file__).parents[1]
CAPABILITIES = {"x86-64-v2": "DEFAULT", "x86-64-v3": "AVX2"}

_PRINT = """
import torch
print(torch.backends.cpu.get_cpu_capability(), torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""


@pytest.mark.parametrize("level", portable.reachable())
def test_torch_and_onednn_are_held(level: str) -> None:
    command = [sys.executable, "-c", _PRINT]
    done = subprocess.run(
        command, env=portable.environment(level), capture_output=True, text=True, timeout=600
    )
    assert done.stdout.split() == [CAPABILITIES[level], "False"], done.stderr


def test_what_is_run_exists() -> None:
    files = [argument for run in portable.RUNS for argument in run if argument.startswith("tests/")]
    assert len(files) > len(portable.RUNS)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_a_machine_without_a_level_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portable, "LEVELS", {"x86-64-v9": {}})
    monkeypatch.setenv("BRIDGE_CPU", "host")
    assert portable.reachable() == []
    assert "BRIDGE_CPU=x86-64-v9: no such processor" in capsys.readouterr().err
    assert os.environ["BRIDGE_CPU"] == "host"


def _is_load(child: psutil.Process) -> bool:
    """Other tests may have left a compiler, which may just end."""
    with suppress(psutil.NoSuchProcess):
        return "getppid" in " ".join(child.cmdline())
    return False


def test_the_load_is_there_and_goes() -> None:
    core = min(os.sched_getaffinity(0))
    with portable.busy(core, 2):
        children = [child for child in psutil.Process().children() if _is_load(child)]
        assert len(children) == 2
    assert not any(child.is_running() for child in children)


_ONE_TEST = """
import os

def test_one():
    assert len(os.sched_getaffinity(0)) == 1
    assert os.environ["BRIDGE_CPU"] == {level!r}
    {last}
"""


@pytest.mark.parametrize(("last", "status"), [("assert True", 0), ("assert False", 1)])
@pytest.mark.parametrize("level", portable.reachable()[:1])
def test_what_fails_there_fails_here(tmp_path: Path, level: str, last: str, status: int) -> None:
    test = tmp_path / "test_one.py"
    test.write_text(_ONE_TEST.format(level=level, last=last))
    assert portable.main(["--level", level, "--load", "1", str(test)]) == status
