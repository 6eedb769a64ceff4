"""Models in a process beside this one, which is replaced when it has grown; a record lets a run go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any

import psutil

from tests.zoo.inspection import Finding

ROOT = Path(__file__).parents[2]
#: How long one model may take, and how many bytes its process may keep for the next one.
SECONDS, KEPT = 1200, 2 << 30


def findings(
    names: Sequence[str], engines: Sequence[str], source: bool, record: Path | None = None
) -> Iterator[Finding]:
    """What is found of each model, in order. A recorded one that was asked as much is not run again."""
    known = {found.model: found for found in recorded(record)} if record is not None else {}
    with TemporaryFile("w+") as errors:
        worker = Worker(engines, source, errors)
        for name in names:
            found = known.get(name)
            if found is None or found.engines != list(engines) or (source and not found.source):
                found = worker.find(name)
                if record is not None:
                    write(record, found)
            yield found
        worker.end()


def recorded(record: Path) -> list[Finding]:
    """The findings of a file of lines, the last of each model; none where there is no file."""
    lines = record.read_text().splitlines() if record.exists() else []
    return list({(found := Finding(**json.loads(line))).model: found for line in lines}.values())


def write(record: Path, found: Finding) -> None:
    """Add a line to a record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a") as file:
        file.write(json.dumps(vars(found)) + "\n")


class Worker:
    """A process that takes models through, one after the other, started when there is one to take.

    `errors`: a file for its standard error.
    """

    def __init__(self, engines: Sequence[str], source: bool, errors: IO[str]) -> None:
        self.engines = list(engines)
        self.command = [sys.executable, "-m", "tests.zoo.inspection", ",".join(engines)]
        self.command += ["--source"] if source else []
        self.errors = errors
        self.process: subprocess.Popen[str] | None = None

    def find(self, name: str) -> Finding:
        """What is found of one model; the death of the process is a problem of that model."""
        process = self.process or self._start()
        timer = Timer(SECONDS, process.kill)
        timer.start()
        try:
            print(name, file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout is not None else ""
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            return Finding(name, "", [], engines=self.engines, problems=[self._death(process)])
        if psutil.Process(process.pid).memory_info().rss > KEPT:
            self.end()
        return Finding(**json.loads(answer))

    def end(self) -> None:
        """Let the process end, if there is one."""
        if self.process is not None:
            self.process.communicate()
            self.process = None

    def _start(self) -> subprocess.Popen[str]:
        # Everything is compiled here and now, and the user's own compile cache stays as it is.
        environment = {**os.environ, "BRIDGE_CACHE_BYTES": "0"}
        self.errors.seek(0)
        self.errors.truncate()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        return self.process

    def _death(self, process: subprocess.Popen[Any]) -> str:
        self.end()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines() or ["no message"]
        return f"its process ended with {process.returncode}: {lines[-1]}"
