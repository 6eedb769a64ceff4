"""`python -m tests.databases [--suite hop,train] [--engine xla] [--names a,b] [--jobs n]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.databases import report
from tests.databases.suites import SUITES
from tests.opdb.cases import Row, Word
from tests.opdb.driver import Run, run
from tests.opdb.store import Incomplete

_BAD = (Word.DIFFERENT.value, Word.FAILED.value)


def main() -> int:
    """Run what is asked for, all of it by default; exit status 1 if a case is different or failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.databases", description="Runs databases of torch.")
    parser.add_argument("--suite", default=",".join(SUITES), help=f"of {', '.join(SUITES)}; several: a,b")
    parser.add_argument("--engine", default=",".join(report.LIMITS), help="several: a,b")
    parser.add_argument("--names", help="entries of the database: a,b; no report is written")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which a case is cut")
    parser.add_argument("--report-only", action="store_true", help="write docs/ from kept results, run none")
    options = parser.parse_args()
    bad = 0
    if not options.report_only:
        for engine in options.engine.split(","):
            bad += sum(_run(suite, engine, options) for suite in options.suite.split(","))
    try:
        if not options.names:
            report.write()
    except Incomplete as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if bad else 0


def _run(suite: str, engine: str, options: argparse.Namespace) -> int:
    """One suite on one engine; how many cases are different or failed."""
    names = [n for n in SUITES[suite].names() if options.names is None or n in options.names.split(",")]

    def tell(row: Row) -> None:
        if row.word in _BAD:
            print(f"{engine}: {row.case}: {row.word}: {row.reason}", flush=True)

    rows = run(Run(engine, suite, tuple(names), report.LIMITS[engine], options.seconds, options.jobs), tell)
    words = Counter(row.word for row in rows.values())
    counts = ", ".join(f"{words[word.value]} {word.value}" for word in Word)
    print(f"{engine} {suite}: {len(rows)} cases: {counts}", flush=True)
    return sum(words[word] for word in _BAD)


if __name__ == "__main__":
    sys.exit(main())
