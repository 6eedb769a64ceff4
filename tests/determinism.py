"""Every model, called again and again under load: `python -m tests.determinism`.

Calls that are given the same must give the same, bit for bit: outputs, and buffers after the call. Each entry
is a process of its own, held to two cores or to one, beside processes that never rest. With `--jobs N`, N
entries are measured at once, and each is load to the others. IREE runs on its threads, small models too.
What was measured is kept in a file of lines; a run goes on where one ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "determinism-models.md"
RECORD = ROOT / "build" / "determinism.jsonl"

ENGINES = ("iree", "xla", "aten")
CORES = (2, 1)
#: What a row is named by.
KEY = ("suite", "model", "engine", "cores")


class Subject(NamedTuple):
    """An exported program and the calls of a row, `(args, kwargs)`, from the same state each time."""

    exported: Any
    calls: Sequence[Any]


def small() -> dict[str, Callable[[], Subject]]:
    """The zoo at its small sizes, and a decoder with deeper state."""
    from tests.models import decoding
    from tests.models.registry import models

    steps = [((), decoding.step_inputs(step)) for step in range(8)]
    return {
        **{name: lambda name=name: _of(models()[name].build()) for name in models()},
        "llama-decode-8-layers": lambda: Subject(decoding.llama(64), steps),
    }


def published() -> dict[str, Callable[[], Subject]]:
    """The models of the zoo that have published sizes, at these."""
    from tests.models.registry import models
    from tests.models.registry import published as names

    return {name: lambda name=name: _of(models()[name].build(small=False)) for name in names()}


def _of(model: Any) -> Subject:
    """A model of the zoo: what it is called with is given in reverse, too, where that is all in a row."""
    calls = model.calls
    return Subject(model.export(), calls if len(calls) > 1 else (*calls, _reversed(calls[0])))


def _reversed(call: Any) -> Any:
    from torch.utils._pytree import tree_map

    return tree_map(lambda x: x.reshape(-1).flip(0).reshape(x.shape), call)


SUITES = {"small": small, "published": published}


def measure(suite: str, name: str, engine: str, calls: int, load: int) -> None:
    """Print one row as JSON; for a process of its own, held to its cores before anything is imported."""
    import bridge
    from bridge.compiled.compiled import Compiled
    from bridge.verification.repeat import any_order
    from bridge.verification.trial import on_aten
    from tests.repeated import busy, differing, on_threads

    subject = SUITES[suite]()[name]()
    with on_threads():
        compiled = bridge.lower(subject.exported).compile(engine, on_new_size="wait")
        if isinstance(compiled, Compiled):
            compiled.compile_at_once()
        compiled.reset()
        for args, kwargs in subject.calls:
            compiled(*args, **kwargs)
        start = time.monotonic()
        with busy(load):
            wrong = differing(
                lambda *a, **k: (compiled(*a, **k), compiled.buffers), subject.calls, calls, compiled.reset
            )
    nodes = any_order(compiled.program.graph, on_aten(compiled))
    made = -(-calls // len(subject.calls)) * len(subject.calls)
    seconds = round(time.monotonic() - start, 1)
    row = {"calls": made, "different": wrong, "any_order": nodes, "seconds": seconds}
    print(json.dumps({**row, "on_aten": len(on_aten(compiled))}))


def run(key: dict[str, Any], calls: int, load: int, place: int = 0) -> dict[str, Any]:
    """One row, from its process; with the last line of what it raised as its `problem`, if it did.

    Rows that run at once and have fewer cores than there are take different ones by their `place`.
    """
    cores = sorted(os.sched_getaffinity(0))
    held = {cores[(place + index) % len(cores)] for index in range(key["cores"])}
    code = (
        f"import os; os.sched_setaffinity(0, {held})\nfrom tests.determinism import measure\n"
        f"measure({key['suite']!r}, {key['model']!r}, {key['engine']!r}, {calls}, {load})"
    )
    environment = {**os.environ, "BRIDGE_CACHE_BYTES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {**key, "problem": lines[-1]}
    return {**key, **json.loads(done.stdout.splitlines()[-1])}


def rows_of(suites: Sequence[str], engines: Sequence[str], cores: Sequence[int]) -> Iterator[dict[str, Any]]:
    for suite, core, engine in product(suites, cores, engines):
        for model in SUITES[suite]():
            yield {"suite": suite, "model": model, "engine": engine, "cores": core}


def page(record: Sequence[dict[str, Any]]) -> str:
    """The page, of a record that has every row."""
    known = {tuple(row[name] for name in KEY): row for row in record}
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "jaxlib", "iree-base-compiler"))
    lines = [
        "# Determinism: models called again and again",
        "",
        f"`python -m tests.determinism`, {date.today()}, {platform.machine()}, {packages}.",
        "Each entry is a process held to so many cores, beside processes that never rest. Rows of calls",
        "with different inputs are repeated from the same buffers; a decoder keeps its state within a row.",
        "Outputs and buffers of each call are compared bit for bit with those of the first that was given",
        "the same. IREE runs on its threads, whatever the size. An entry: calls that differed, of all.",
    ]
    columns = [(engine, cores) for engine in ENGINES for cores in CORES]
    for suite, models in SUITES.items():
        lines += ["", f"## {suite.capitalize()} sizes", ""]
        lines += ["| model | " + " | ".join(f"{e}, {_cores(c)}" for e, c in columns) + " |"]
        lines += ["|---" * (len(columns) + 1) + "|"]
        for model in models():
            cells = [_cell(known[(suite, model, *column)]) for column in columns]
            lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cores(count: int) -> str:
    return f"{count} core{'s' * (count > 1)}"


def _cell(row: dict[str, Any]) -> str:
    if "problem" in row:
        return "FAILED"
    note = " (sums in any order)" if row["any_order"] else ""
    if row["on_aten"] and row["engine"] != "aten":
        note += f" ({row['on_aten']} nodes on ATen)"
    return f"{len(row['different']):,} of {row['calls']:,}{note}"


def main() -> int:
    """Measure what is not in the record yet; exit status 1 if any call differed, or could not be made."""
    parser = argparse.ArgumentParser(prog="python -m tests.determinism", description=main.__doc__)
    parser.add_argument("--suite", default=",".join(SUITES), help="with commas; default: all")
    parser.add_argument("--engine", default=",".join(ENGINES), help="with commas; default: all")
    parser.add_argument("--cores", default=",".join(map(str, CORES)), help="with commas; default: 2,1")
    parser.add_argument("--calls", type=int, default=1000, help="of each model; default: 1000")
    parser.add_argument("--load", type=int, default=4, help="processes that never rest; default: 4")
    parser.add_argument("--jobs", type=int, default=1, help="entries measured at once; default: 1")
    parser.add_argument("--record", type=Path, default=RECORD, help="the file of lines that is kept")
    parser.add_argument(
        "--report", action="store_true", help="write docs/determinism-models.md, once all are there"
    )
    given = parser.parse_args()
    given.record.parent.mkdir(parents=True, exist_ok=True)
    record = (
        [json.loads(line) for line in given.record.read_text().splitlines()] if given.record.exists() else []
    )
    known = {tuple(row[name] for name in KEY) for row in record}
    cores = [int(count) for count in given.cores.split(",")]
    rows = rows_of(given.suite.split(","), given.engine.split(","), cores)
    wanted = [key for key in rows if tuple(key.values()) not in known]
    with ThreadPoolExecutor(given.jobs) as pool:
        jobs = [pool.submit(run, key, given.calls, given.load, place) for place, key in enumerate(wanted)]
        for job in as_completed(jobs):
            record.append(job.result())
            with given.record.open("a") as file:
                file.write(json.dumps(job.result()) + "\n")
            print(json.dumps(job.result()), flush=True)
    if given.report:
        known = {tuple(row[name] for name in KEY) for row in record}
        missing = [key for key in rows_of(list(SUITES), ENGINES, CORES) if tuple(key.values()) not in known]
        if missing:
            parser.error(f"{len(missing)} entries are not in {given.record}: run without --suite or --engine")
        PAGE.write_text(page(record))
    return int(any(row.get("problem") or (row["different"] and not row["any_order"]) for row in record))


if __name__ == "__main__":
    sys.exit(main())
