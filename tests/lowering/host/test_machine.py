"""How a thread waits for an engine's own, and what engines' binaries depend on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lowering.host import cgroup
from lowering.host import machine as host
from lowering.host.machine import BatchScheduling

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these policies")


@pytest.fixture(autouse=True)
def usual_policy() -> Iterator[None]:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_a_thread_has_its_policy_back_afterwards() -> None:
    with BatchScheduling():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    with pytest.raises(KeyError), BatchScheduling():
        raise KeyError
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_only_the_calling_thread_changes() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        with BatchScheduling():
            entered.set()
            leave.wait()

    waiting = threading.Thread(target=wait)
    waiting.start()
    entered.wait()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    leave.set()
    waiting.join()


def test_a_thread_of_another_policy_keeps_it() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with BatchScheduling():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


def test_a_sandbox_that_forbids_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def forbidden(*_: object) -> None:
        asked.append(1)
        raise PermissionError

    monkeypatch.setattr(host, "_can_set_batch", True)
    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    for _ in range(2):
        with BatchScheduling():
            pass
    monkeypatch.undo()
    assert asked == [1]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, dict[str, str]], None]:
    """Makes this process' control groups: the kernel's line, and the files below the mount point."""

    def make(line: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(f"{line}\n")
        for name, text in files.items():
            file = tmp_path / "mounted" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    monkeypatch.setattr(cgroup, "_OWN", tmp_path / "own")
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path / "mounted")
    return make


@pytest.mark.parametrize(
    ("line", "files", "quota", "limit"),
    [
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ("0::/", {}, None, None),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5, None),
        ("0::/a/b", {"a/memory.max": "4096", "a/b/memory.max": "8192"}, None, 4096),
        # A container: its own group is what is mounted, whatever the kernel calls it.
        ("0::/host/42", {"cpu.max": "50000 100000", "memory.max": "4096"}, 0.5, 4096),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "4096"}, None, 4096),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None, None),
        (
            "2:cpu,cpuacct:/a",
            {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"},
            2.0,
            None,
        ),
        ("2:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
    ],
)
def test_a_container_leaves_what_its_group_says(
    groups: Callable[[str, dict[str, str]], None],
    line: str,
    files: dict[str, str],
    quota: float | None,
    limit: int | None,
) -> None:
    groups(line, files)
    assert (cgroup.cpu_quota(), cgroup.memory_limit()) == (quota, limit)


@pytest.mark.parametrize(
    ("bound", "quota", "wanted"), [(8, None, 8), (8, 2.5, 3), (8, 0.2, 1), (2, 16.0, 2), (1, None, 1)]
)
def test_cores_are_those_bound_to_within_the_quota(
    monkeypatch: pytest.MonkeyPatch, bound: int, quota: float | None, wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)))
    monkeypatch.setattr(host, "_quota", lambda: quota)
    assert host.cores() == wanted


@pytest.mark.parametrize("limit", [None, 4096])
def test_memory_is_the_machines_or_what_the_container_leaves(
    monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(host, "memory_limit", lambda: limit)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert host.memory() == (limit or whole)
