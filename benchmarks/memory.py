"""This process's memory, as Linux counts it, in megabytes."""

from __future__ import annotations

from pathlib import Path


def resident() -> float:
    """What is in memory now."""
    return _status("VmRSS")


def peak() -> float:
    """The most that was in memory since the start, or since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
