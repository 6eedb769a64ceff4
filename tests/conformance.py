"""The slow, exhaustive run: `python -m tests.conformance [model ...]`, whose result is docs/conformance.md.

Every model of the zoo that has a published size, at that, with seeded random weights, each in a process of
its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.models.registry import models, published

RESULT = Path(__file__).parents[1] / "docs" / "conformance.md"


def run_one(name: str) -> None:
    """Take one model through and print its row as JSON; for a process of its own."""
    from tests.models.pipeline import take_through

    with TemporaryDirectory() as folder:
        row = take_through(name, models()[name].build(small=False), folder=Path(folder))
    problems = row.reasons + row.problems
    shown = {
        "model": name,
        "nodes": row.nodes,
        "segments": row.segments,
        "aten_nodes": row.aten_nodes,
        "seconds_to_lower": row.seconds["lower"],
        "errors": row.errors,
        "problems": problems,
        "passed": row.whole and not problems,
    }
    print(json.dumps(shown))


def run_all(names: list[str]) -> list[dict[str, Any]]:
    """One row per model, shown as they come."""
    rows = []
    for name in names:
        command = [sys.executable, "-c", "import sys, tests.conformance as c; c.run_one(sys.argv[1])", name]
        # Everything is compiled here and now, and the user's own compile cache stays as it is.
        environment = {**os.environ, "BRIDGE_CACHE_BYTES": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            message = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
            row: dict[str, Any] = {"model": name, "passed": False, "problems": [message]}
        else:
            row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(_line(row), *row["problems"][:5], sep="\n", flush=True)
    return rows


def write_result(rows: list[dict[str, Any]]) -> None:
    """Write the table that is kept in docs/."""
    tested = ("torch", "jaxlib", "iree-base-compiler", "transformers")
    packages = ", ".join(f"{name} {version(name)}" for name in tested)
    RESULT.write_text(
        "\n".join(
            [
                "# Conformance: models at their published sizes",
                "",
                f"`make conformance`, {date.today()}, {platform.machine()}, {packages}.",
                "Seeded random weights, float32. Reference: torch's `ExportedProgram.module()`; llama-decode",
                "is 8 calls in a row, its cache in buffers. `artifact` is a new process that imports neither",
                "torch nor jax. Errors are the largest absolute ones.",
                "",
                "| model | graph nodes | segments | on ATen | s to lower | xla | iree | artifact | verdict |",
                "|---|---|---|---|---|---|---|---|---|",
                *(_line(row) for row in rows),
                "",
            ]
        )
    )


def _line(row: dict[str, Any]) -> str:
    if "nodes" not in row:
        return f"| {row['model']} | | | | | | | | FAILED |"
    errors = row["errors"]
    return (
        f"| {row['model']} | {row['nodes']} | {row['segments']} | {row['aten_nodes']} "
        f"| {row['seconds_to_lower']:.2f} | {errors['xla']:.1e} | {errors['iree']:.1e} "
        f"| {errors['artifact']:.1e} | {'equal' if row['passed'] else 'DIFFERENT'} |"
    )


def main() -> int:
    """Run the named models, or all of them and write the result; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=main.__doc__)
    names = published()
    parser.add_argument("model", nargs="*", metavar="MODEL", help=f"of {', '.join(names)}; default: all")
    named = parser.parse_args().model
    unknown = [name for name in named if name not in names]
    if unknown:
        parser.error(f"unknown models {', '.join(unknown)}; there are {', '.join(names)}")
    rows = run_all(named or names)
    if not named and all("nodes" in row for row in rows):
        write_result(rows)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
