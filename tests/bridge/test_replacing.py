"""An artifact at its place is old or new, and whole, whatever happens to those who write it."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge import replacing
from bridge.cli.results import write_results
from bridge.errors import ArtifactError, BridgeError, UsageError
from bridge.manifest import MANIFEST
from lowering.host.drafts import scratch_folder
from tests.bridge.samples import lowered

SAVES = """
import sys
import bridge
from tests.bridge.samples import path_of
programs = [bridge.lower(path_of(name)) for name in sys.argv[3:]]
print("ready", flush=True)
for turn in range(int(sys.argv[2])):
    programs[turn % len(programs)].save(sys.argv[1])
"""

READS = """
import sys, time
import bridge
print("ready", flush=True)
end, count = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end or count < 3:
    loaded = bridge.load(sys.argv[1])
    for storage in loaded.weights.storages.values():
        storage.open().sum()
    count += 1
"""


def _start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _program(path: Path) -> str:
    """Which of the two that are saved here is there, whole."""
    found = bridge.load(path).program
    return next(name for name in ("mlp", "norms") if lowered(name).program == found)


@pytest.fixture(params=["exchange", "by steps"])
def exchanging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by steps":
        monkeypatch.setattr(replacing, "_rename", None)
    return request.param


def test_a_save_replaces_and_leaves_nothing(exchanging: str, tmp_path: Path) -> None:
    for name in ("mlp", "norms", "mlp"):
        lowered(name).save(tmp_path / "a.bridge")
        assert _program(tmp_path / "a.bridge") == name
        assert os.listdir(tmp_path) == ["a.bridge"]


def test_only_an_artifact_is_replaced(exchanging: str, tmp_path: Path) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")

    def refused(message: str) -> None:
        with pytest.raises(UsageError, match=message):
            lowered("norms").save(path)
        assert os.listdir(tmp_path) == ["a.bridge"]

    for inner in ("thesis.tex", "modules/thesis.tex", "binaries/old/thesis.tex", "tuning.json"):
        file = path / inner
        file.parent.mkdir(exist_ok=True)
        file.write_text("years of work")
        refused(f"a.bridge has '{inner.removesuffix('/thesis.tex')}")
        assert file.read_text() == "years of work"
        file.unlink()
        if not any(file.parent.iterdir()) and file.parent.name == "old":
            file.parent.rmdir()
    manifest = (path / MANIFEST).read_text()
    for other in ("{}", "[]", "no JSON", json.dumps({"format": 1, "files": {"thesis.tex": 3}})):
        (path / MANIFEST).write_text(other)
        refused(r"its manifest\.json is not an artifact's; give another path or remove it")
        assert (path / "program.json").exists()
    (path / MANIFEST).write_text(manifest)
    lowered("norms").save(path)
    assert _program(path) == "norms"


def test_what_appears_while_saving_is_kept(
    exchanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")
    write = bridge.artifact._write_contents

    def write_while_somebody_else_does(*given: object) -> None:
        write(*given)  # pyright: ignore[reportArgumentType]
        (path / "thesis.tex").write_text("years of work")

    monkeypatch.setattr("bridge.artifact._write_contents", write_while_somebody_else_does)
    with pytest.raises(UsageError, match=r"a\.bridge has 'thesis\.tex', which is not part of the artifact"):
        lowered("norms").save(path)
    assert (path / "thesis.tex").read_text() == "years of work"
    assert _program(path) == "mlp"
    assert os.listdir(tmp_path) == ["a.bridge"]


def test_drafts_of_the_dead_are_removed_and_of_the_living_are_not(tmp_path: Path) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")
    dead, strange = tmp_path / f".a.bridge.{'0' * 16}", tmp_path / f".a.bridge.{'1' * 16}"
    shutil.copytree(path, dead)
    (dead / MANIFEST).unlink()
    shutil.copytree(path, strange)
    (strange / "thesis.tex").write_text("years of work")
    code = f"""
import sys
from pathlib import Path
from bridge.manifest import discard
from lowering.host.drafts import draft_folder
with draft_folder(Path({str(path)!r}), discard) as draft:
    print(draft.name, flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        name = living.stdout.readline().strip()
        lowered("norms").save(path)
        assert sorted(os.listdir(tmp_path)) == sorted(["a.bridge", strange.name, name])
        living.kill()
    lowered("norms").save(path)
    assert sorted(os.listdir(tmp_path)) == [strange.name, "a.bridge"]
    assert (strange / "thesis.tex").exists()


def test_what_killed_programs_leave_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary files of the compiler, and outputs that were being written."""
    code = f"""
from pathlib import Path
from lowering.host.drafts import draft_file, scratch_folder
import os, signal
with scratch_folder("bridge-iree") as folder, draft_file(Path({str(tmp_path / "y.npz")!r})):
    (folder / "source.mlir").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder("bridge-iree") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    write_results(tmp_path / "y.npz", {"outputs": {"y": np.ones(2)}, "inputs": {}, "buffers": {}})
    assert os.listdir(tmp_path) == ["y.npz"]


def test_a_save_that_was_killed_between_two_steps_loses_nothing(tmp_path: Path) -> None:
    """Where folders cannot be exchanged, the old artifact is under a draft's name for a moment."""
    path = lowered("mlp").save(tmp_path / "a.bridge")
    path.rename(tmp_path / f".a.bridge.{'0' * 16}")
    half = tmp_path / f".a.bridge.{'1' * 16}"
    half.mkdir()
    (half / MANIFEST).write_text((tmp_path / f".a.bridge.{'0' * 16}" / MANIFEST).read_text())
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ArtifactError):
        bridge.load(path)
    broken = bridge.Lowered(lowered("norms").program, lowered("norms").functional, lowered("norms").plan,
                            lowered("norms").weights, modules={0: None})  # fmt: skip # pyright: ignore
    with pytest.raises(AttributeError):
        broken.save(path)
    assert _program(path) == "mlp"
    assert sorted(os.listdir(tmp_path)) == ["a.bridge", "file"]


# `python -m tests.kills` makes two hundred.
_KILLS = 3


def test_killed_saves(tmp_path: Path) -> None:
    rng = random.Random(3)
    path = lowered("mlp").save(tmp_path / "a.bridge")
    for _ in range(_KILLS):
        saving = _start(SAVES, path, 10_000, "mlp", "norms")
        assert saving.stdout is not None
        assert saving.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.2)
        saving.kill()
        saving.communicate()
        assert _program(path) in ("mlp", "norms")
        assert len(os.listdir(tmp_path)) <= 3, "what one killed run left is removed by the next"
    lowered("norms").save(path)
    assert os.listdir(tmp_path) == ["a.bridge"]


def test_two_savers_beside_readers(tmp_path: Path) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")
    readers = [_start(READS, path, 4) for _ in range(3)]
    savers = [_start(SAVES, path, 40, "norms", "mlp") for _ in range(2)]
    for process in (*readers, *savers):
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert os.listdir(tmp_path) == ["a.bridge"]
    _program(path)


def test_a_full_disk(tmp_path: Path) -> None:
    """Every write fails at some length, as on a disk that is full there."""
    path = lowered("mlp").save(tmp_path / "a.bridge")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for most in (0, 100, 1000, 2000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            with pytest.raises(ArtifactError, match=r"cannot write .*a\.bridge: File too large"):
                lowered("norms").save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert os.listdir(tmp_path) == ["a.bridge"]
    assert _program(path) == "mlp"


def test_a_read_only_folder() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = lowered("mlp").save(folder / "a.bridge")
        folder.chmod(0o555)
        me = os.geteuid()
        try:
            if me == 0:
                os.seteuid(65534)
            with pytest.raises(
                BridgeError, match=r"cannot write .*a\.bridge: (Permission denied|.*writable)"
            ):
                lowered("norms").save(path)
        finally:
            os.seteuid(me)
            folder.chmod(0o755)
        assert os.listdir(folder) == ["a.bridge"]
        assert _program(path) == "mlp"
