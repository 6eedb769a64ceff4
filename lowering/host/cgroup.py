"""A container's limits on this process: Linux' control groups, of versions 1 and 2.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
# A limit above this is none: version 1 writes the largest number of pages for "no limit".
_NO_LIMIT = 1 << 62


def cpu_quota() -> float | None:
    """How many cores' time this process may take; None where nothing bounds it."""
    found = [float(quota) / float(period) for quota, period in _pairs() if quota.isdecimal()]
    return min((number for number in found if number > 0), default=None)


def memory_limit() -> int | None:
    """How many bytes of memory this process may use; None where nothing bounds it."""
    texts = [_read(folder / "memory.max") for folder in _folders("")]
    texts += [_read(folder / "memory.limit_in_bytes") for folder in _folders("memory")]
    found = [int(text) for text in texts if text.isdecimal()]
    return min((number for number in found if number < _NO_LIMIT), default=None)


def _pairs() -> Iterator[tuple[str, str]]:
    """Time that may be used, and of how much, in microseconds."""
    for folder in _folders(""):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2:
            yield words[0], words[1]
    for folder in _folders("cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if period:
            yield quota, period


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process' group of a controller (version 2 has one tree, `""`), and of those above.

    In a container the kernel may name a group that is not mounted there. Then its root is this process' own.
    """
    for line in _read(_OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        base = _ROOT / controller
        group = base / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(base))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
