"""Bridge beside what one would otherwise pick: what a call of real architectures costs, as a ratio to eager.

    python -m benchmarks.models [--only resnet50,bert] [--dtype float32] [--batch 1] [--sides xla,iree]

A process per model, dtype and batch; see `benchmarks.measure`. Each gives a line of out/bench/models.jsonl;
what is there with the same versions is not measured again. In the end the tables and the plot of docs/ are
written anew from all lines.
"""

from __future__ import annotations

import argparse
from datetime import date
from itertools import product

from benchmarks import records, report
from benchmarks.cases import DTYPES
from benchmarks.choices import chooser, names
from benchmarks.processes import Outcome, run_child
from benchmarks.sides import OTHERS, OURS


def numbers(text: str) -> list[int]:
    """An argument that lists numbers."""
    return [int(number) for number in text.split(",")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = chooser("models", __doc__)
    parser.add_argument("--dtype", type=names(DTYPES), default=list(DTYPES), help=f"of {', '.join(DTYPES)}")
    parser.add_argument("--batch", type=numbers, default=[1, 8], help="1,8")
    parser.add_argument("--sides", type=names(OTHERS), default=list(OTHERS), help=f"of {', '.join(OTHERS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing for each side")
    parser.add_argument("--pin", action="store_true", help="everything on one core")
    return parser.parse_args()


def measure(key: records.Row, sides: list[str], seconds: float, limit: float) -> records.Row:
    """One row. A side that ends the process is written down with that, and the others are measured anew."""
    lost: records.Row = {}
    while True:
        left = [side for side in sides if side not in lost]
        request = {**key, "sides": left, "seconds": seconds}
        outcome = run_child("benchmarks.measure", request, pinned=key["pinned"], limit=limit)
        if not outcome.problem:
            found = outcome.lines[-1]
            return {**found, "sides": {**found["sides"], **lost}}
        guilty = _building(outcome)
        if guilty is None:
            return {"sides": {side: {"reason": outcome.problem} for side in left} | lost}
        lost[guilty] = {"reason": outcome.problem}


def _building(outcome: Outcome) -> str | None:
    """The side that was being built when the process ended."""
    return outcome.lines[-1].get("building") if outcome.lines else None


def shown(key: records.Row, row: records.Row) -> str:
    """A row for the terminal."""
    said = [f"{key['model']} {key['dtype']} batch {key['batch']}: eager {row.get('eager_ms', 0):.2f} ms"]
    for name, side in row["sides"].items():
        if "reason" in side:
            said.append(f"  {name}: {side['reason']}")
        else:
            low, median, high = side["ratio"]
            differs = f", differs: {side['differs']}" if side["differs"] else ""
            said.append(f"  {name}: {median:.2f} ({low:.2f} to {high:.2f}), {side['pairs']} pairs{differs}")
    return "\n".join(said)


def main() -> None:
    """Measure what was not, then report."""
    chosen = arguments()
    todo = [] if chosen.report_only else list(product(chosen.only, chosen.dtype, chosen.batch))
    for model, dtype, batch in todo:
        key = {
            "model": model, "dtype": dtype, "batch": batch, "pinned": chosen.pin, "small": chosen.small,
            "machine": records.machine(),
        }  # fmt: skip
        done = set() if chosen.again else records.measured("models", key, OURS)
        sides = [side for side in chosen.sides if side not in done]
        if not sides:
            continue
        row = measure(key, sides, chosen.seconds, chosen.limit)
        records.append("models", {**key, "versions": records.versions(), "date": str(date.today()), **row})
        print(shown(key, row), flush=True)
    report.write()


if __name__ == "__main__":
    main()
