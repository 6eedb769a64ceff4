"""Child processes of the benchmarks: one per measurement, so that a side that dies takes nothing with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# The line of a traceback that says what was raised; its message may go on below it.
_RAISED = re.compile(r"(\w+\.)*\w*(Error|Exception)\b:")
# Characters of what is told.
_MOST = 240
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Outcome(NamedTuple):
    """The lines that a child wrote, and what ended it; empty where it ended well."""

    lines: list[dict[str, Any]]
    problem: str = ""


def usable_cores(pinned: bool) -> set[int]:
    """The cores that a child may use: all of ours, or the first."""
    mine = os.sched_getaffinity(0)
    return {min(mine)} if pinned else mine


def run_child(
    module: str,
    request: Mapping[str, Any],
    *,
    pinned: bool = False,
    limit: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run `python -m module request lines`; `limit`: seconds. The child appends JSON to the file `lines`.

    The cores are set before the child starts: what it imports sizes its pools by them.
    """
    cores = usable_cores(pinned)
    threads = dict.fromkeys(_THREADS, str(len(cores)))
    with TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        lines.touch()
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, json.dumps(request), str(lines)],
                env={**os.environ, **threads, **(environment or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            problem = f"took longer than {limit:g} seconds"
        else:
            problem = _problem(done)
        return Outcome([json.loads(line) for line in lines.read_text().splitlines()], problem)


def _problem(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}"
    said = _COLOUR.sub("", done.stderr).strip().splitlines()
    at = max((at for at, line in enumerate(said) if _RAISED.match(line)), default=-1)
    return " ".join(" ".join(said[at:]).split())[:_MOST] if said else f"exit status {done.returncode}"


def tell(lines: str, **line: Any) -> None:
    """In the child: append a line for the parent."""
    with open(lines, "a") as file:
        file.write(json.dumps(line) + "\n")


def one_line(error: BaseException) -> str:
    """What an exception comes from, as one short line."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = " ".join(_COLOUR.sub("", str(error)).split())
    return f"{type(error).__name__}: {said}"[:_MOST]
