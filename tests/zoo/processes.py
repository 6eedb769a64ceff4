"""Each model in a process of its own, whose memory ends with it; a record lets a run go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.zoo.inspection import Finding

ROOT = Path(__file__).parents[2]
SECONDS = 1200


def findings(
    names: Sequence[str], engines: Sequence[str], source: bool, record: Path | None = None
) -> Iterator[Finding]:
    """What is found of each model, in order. A recorded one that was asked as much is not run again."""
    known = {found.model: found for found in recorded(record)} if record is not None else {}
    for name in names:
        found = known.get(name)
        if found is None or found.engines != list(engines) or (source and not found.source):
            found = _run(name, engines, source)
            if record is not None:
                write(record, found)
        yield found


def recorded(record: Path) -> list[Finding]:
    """The findings of a file of lines, the last of each model; none where there is no file."""
    lines = record.read_text().splitlines() if record.exists() else []
    return list({(found := Finding(**json.loads(line))).model: found for line in lines}.values())


def write(record: Path, found: Finding) -> None:
    """Add a line to a record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a") as file:
        file.write(json.dumps(vars(found)) + "\n")


def _run(name: str, engines: Sequence[str], source: bool) -> Finding:
    command = [sys.executable, "-m", "tests.zoo.inspection", name, ",".join(engines)]
    command += ["--source"] if source else []
    # Everything is compiled here and now, and the user's own compile cache stays as it is.
    environment = {**os.environ, "BRIDGE_CACHE_BYTES": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(name, "", [], engines=list(engines), problems=[f"it took more than {SECONDS} s"])
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        problem = f"its process ended with {done.returncode}: {lines[-1]}"
        return Finding(name, "", [], engines=list(engines), problems=[problem])
    return Finding(**json.loads(done.stdout.splitlines()[-1]))
