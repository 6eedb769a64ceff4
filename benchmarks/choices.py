"""The part of the command lines that all benchmarks of the table of models have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection

from benchmarks.cases import CASES


def names(known: Collection[str]) -> Callable[[str], list[str]]:
    """For an argument that lists some of the known names."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return chosen

    return parse


def chooser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what all have."""
    first = (description or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=first)
    parser.add_argument("--only", type=names(CASES), default=list(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one process")
    parser.add_argument("--small", action="store_true", help="toy sizes, to see that all works; not reported")
    parser.add_argument("--again", action="store_true", help="measure also what was measured")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write the tables")
    return parser
