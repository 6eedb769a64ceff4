"""`python -m tests.opdb --engine xla --dtype float32 [--ops a,b] [--shard 1/4] [--samples k] [--jobs n]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.opdb import selection
from tests.opdb.cases import Row, Word
from tests.opdb.driver import Run, run
from tests.opdb.report import write
from tests.opdb.store import Incomplete

_BAD = (Word.DIFFERENT.value, Word.FAILED.value)


def main() -> int:
    """Run what is asked for; exit status 1 if a case is different or failed."""
    options = _options()
    if options.report_only:
        return _write()
    bad = 0
    for engine in options.engine.split(","):
        for dtype in options.dtype.split(","):
            bad += _run(engine, dtype, options)
    written = _write() if options.report else 0
    return 1 if bad else written


def _write() -> int:
    try:
        write()
    except Incomplete as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.opdb", description="Runs op_db against eager.")
    parser.add_argument("--engine", default="xla", help=f"of {', '.join(selection.ENGINES)}; several: a,b")
    parser.add_argument("--dtype", default="float32", help=f"of {', '.join(selection.DTYPES)}; several: a,b")
    parser.add_argument("--ops", help="full names in op_db (std.unbiased), or their beginnings with *: a,b*")
    parser.add_argument("--shard", default="1/1", help="the i-th of n parts of the operators, i/n from 1/n")
    parser.add_argument("--samples", type=int, help="at most so many samples of each operator")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seconds", type=float, default=60.0, help="after which a case is cut")
    parser.add_argument("--report", action="store_true", help="write docs/ from all kept results afterwards")
    parser.add_argument("--report-only", action="store_true", help="write docs/ from kept results, run none")
    parser.add_argument("--verbose", action="store_true", help="show each row that is not lowered")
    return parser.parse_args()


def _run(engine: str, dtype: str, options: argparse.Namespace) -> int:
    """One engine and dtype; how many cases are different or failed."""
    part, parts = map(int, options.shard.split("/"))
    names = [n for n in selection.names(dtype) if _wanted(n, options.ops)][part - 1 :: parts]
    limit = options.samples or selection.SAMPLES[engine]
    ran = 0

    def tell(row: Row) -> None:
        nonlocal ran
        ran += 1
        if row.word in _BAD or (options.verbose and row.word != Word.LOWERED.value):
            print(f"{row.case}: {row.word}: {row.reason or row.aten}", flush=True)

    what = Run(engine, dtype, tuple(names), limit, options.seconds, options.jobs)
    rows = run(what, tell)
    words = Counter(row.word for row in rows.values())
    counts = ", ".join(f"{words[word.value]} {word.value}" for word in Word)
    print(
        f"{engine} {dtype}: {len(rows)} cases of {len(names)} operators, {ran} ran now: {counts}", flush=True
    )
    return sum(words[word] for word in _BAD)


def _wanted(name: str, ops: str | None) -> bool:
    if ops is None:
        return True
    return any(
        name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted for wanted in ops.split(",")
    )


if __name__ == "__main__":
    sys.exit(main())
