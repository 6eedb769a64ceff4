"""Hands entries of a database to worker processes, keeps their answers, outlives their crashes and hangs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from queue import Empty, Queue
from threading import Lock
from typing import Any

from tests.opdb import store
from tests.opdb.cases import Row, Word
from tests.opdb.fingerprint import ROOT, Sources
from tests.opdb.suites import suite

# Seconds for a worker to import torch, op_db and the engines.
_START = 300.0
# A worker is replaced after so many cases: the engines keep some memory of each.
_CASES = 3000


@dataclass
class Unit:
    """The samples of one entry: what is done, and what is known from an earlier run."""

    name: str
    done: set[str] = field(default_factory=set)
    before: dict[str, Row] = field(default_factory=dict)
    of: int = 0


@dataclass(frozen=True)
class Run:
    """What to run: an engine and a suite, the first `limit` samples of each of the entries."""

    engine: str
    suite: str
    names: tuple[str, ...]
    limit: int | None = None
    seconds: float = 60.0
    jobs: int = 1


def run(what: Run, tell: Callable[[Row], None]) -> dict[str, Row]:
    """Run every case whose sources changed, keeping each row at once; all rows of these entries by case."""
    sources = Sources(suite(what.suite).judges)
    rows = store.load(what.engine, what.suite)
    queue: Queue[Unit] = Queue()
    for name in what.names:
        unit = _unit(name, what, rows, sources)
        if unit is not None:
            queue.put(unit)
    lock = Lock()
    lost = sources.stamp_of_all(what.engine)

    def keep(row: Row) -> None:
        row.stamp = row.stamp or lost
        with lock:
            rows[row.case] = row
            store.append(what.engine, what.suite, row)
            tell(row)

    with ThreadPoolExecutor(what.jobs) as pool:
        for future in [pool.submit(_drain, queue, what, keep) for _ in range(what.jobs)]:
            future.result()
    store.compact(what.engine, what.suite)
    wanted = set(what.names)
    return {case: row for case, row in rows.items() if _counts(case, wanted, what.limit)}


def _counts(case: str, wanted: set[str], limit: int | None) -> bool:
    name, _, index = case.split("/")
    return name in wanted and (limit is None or int(index) < limit)


def _unit(name: str, what: Run, rows: dict[str, Row], sources: Sources) -> Unit | None:
    """An entry with what is left to do; None if that is nothing."""
    known = {case: row for case in _cases(name, what.suite, rows) if (row := rows[case])}
    of = max((row.of for row in known.values()), default=0)
    lost = sources.stamp_of_all(what.engine)
    done = {c for c, row in known.items() if row.stamp in (lost, sources.stamp(what.engine, row.rules))}
    wanted = of if what.limit is None else min(of, what.limit)
    if of and all(f"{name}/{what.suite}/{index}" in done for index in range(wanted)):
        return None
    return Unit(name, done, known, of)


def _cases(name: str, suite_name: str, rows: dict[str, Row]) -> Iterator[str]:
    """The cases of an entry among the kept rows; samples are numbered without gaps up to the last run."""
    prefix = f"{name}/{suite_name}/"
    return (case for case in rows if case.startswith(prefix))


def _drain(queue: Queue[Unit], what: Run, keep: Callable[[Row], None]) -> None:
    """Take entries until there are none, each time with a worker that lives."""
    worker: Worker | None = None
    try:
        while True:
            try:
                unit = queue.get_nowait()
            except Empty:
                return
            while True:
                if worker is None or worker.cases > _CASES:
                    if worker is not None:
                        worker.stop()
                    worker = Worker()
                lost = worker.serve(unit, what, keep)
                if lost is None:
                    break
                worker.stop()
                worker = None
                keep(Row(lost.case, lost.word, lost.reason, of=unit.of))
                unit.done.add(lost.case)
    finally:
        if worker is not None:
            worker.stop()


class Worker:
    """A child process, with a process group of its own: engines start compilers."""

    def __init__(self) -> None:
        self.cases = 0
        self._buffer = b""
        # Thousands of small binaries that nobody wants again would push out the user's own.
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment = {**os.environ, **threads, "BRIDGE_CACHE_BYTES": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.opdb.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )

    def serve(self, unit: Unit, what: Run, keep: Callable[[Row], None]) -> Row | None:
        """Have an entry's cases run; None when all are, else the row of the case that took the worker."""
        request = {
            "name": unit.name,
            "suite": what.suite,
            "engine": what.engine,
            "limit": what.limit,
            "done": sorted(unit.done),
            "before": {case: asdict(row) for case, row in unit.before.items()},
        }
        assert self._process.stdin is not None
        at = ""
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            while True:
                message = self._read(what.seconds if at else _START)
                if message.get("end"):
                    return None
                at = message.get("at", at)
                unit.of = message.get("of", unit.of)
                if "row" in message:
                    row = Row(**message["row"])
                    row.of = unit.of or 1
                    unit.done.add(row.case)
                    self.cases += 1
                    keep(row)
        except TimeoutError:
            return Row(at, Word.FAILED.value, f"timeout: more than {what.seconds:.0f} s")
        except (EOFError, OSError):
            if not at:
                raise RuntimeError("a worker does not start: run python -m tests.opdb.worker") from None
            status = self._process.wait()
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            return Row(at, Word.FAILED.value, f"crashed: {how}")

    def _read(self, seconds: float) -> dict[str, Any]:
        """The next message; TimeoutError if none comes, EOFError if the worker is gone."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], seconds)
            if not ready:
                raise TimeoutError
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        """End the process and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
