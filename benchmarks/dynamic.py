"""One binary for all sizes beside a binary for each, and beside what one would otherwise pick.

    python -m benchmarks.dynamic --pin [--only bert,mlp] [--sides static,dynamic] [--again]

A process per model; see `benchmarks.dynamic_measure`. Each of its sizes gives a line of
out/bench/dynamic.jsonl; what is there with the same versions is not measured again. In the end a table of all
lines is printed. The first call of `static` at a size has its compile in it. With --pin everything runs on
one core, and times are the process's processor time, so that other processes disturb less. Without it, leave
the machine alone.
"""

from __future__ import annotations

import argparse
from datetime import date
from math import exp, log

from benchmarks import records
from benchmarks.choices import names
from benchmarks.dynamic_cases import DYNAMIC_CASES, Sizes
from benchmarks.dynamic_sides import DYNAMIC_SIDES, OURS
from benchmarks.processes import run_child

_TABLE = "dynamic"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dynamic", description=(__doc__ or "").split("\n")[0]
    )
    known = f"of {', '.join(DYNAMIC_CASES)}"
    parser.add_argument("--only", type=names(DYNAMIC_CASES), default=list(DYNAMIC_CASES), help=known)
    sides = f"of {', '.join(DYNAMIC_SIDES)}"
    parser.add_argument("--sides", type=names(DYNAMIC_SIDES), default=list(OURS), help=sides)
    parser.add_argument("--seconds", type=float, default=5.0, help="of timing for each side at each size")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one process")
    parser.add_argument("--pin", action="store_true", help="everything on one core")
    parser.add_argument("--small", action="store_true", help="toy models, to see that all works")
    parser.add_argument("--again", action="store_true", help="measure also what was measured")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, print the table")
    return parser.parse_args()


def measure(model: str, chosen: argparse.Namespace) -> None:
    """Measure what was not, and write it down."""
    key = {"model": model, "pinned": chosen.pin, "small": chosen.small, "machine": records.machine()}

    def left(sizes: Sizes) -> list[str]:
        done = records.measured(_TABLE, {**key, "sizes": list(sizes)}, OURS)
        return [side for side in chosen.sides if chosen.again or side not in done]

    sizes = [each for each in DYNAMIC_CASES[model].sizes if left(each)]
    if not sizes:
        return
    # Ratios are of times that were taken in turns, so what is measured is measured beside all others.
    request = {**key, "sizes": sizes, "sides": chosen.sides, "seconds": chosen.seconds}
    outcome = run_child("benchmarks.dynamic_measure", request, pinned=chosen.pin, limit=chosen.limit)
    for line in outcome.lines:
        said = {"versions": records.versions(), "date": str(date.today())}
        records.append(_TABLE, {**key, **said, **line})
    if outcome.problem:
        print(f"{model}: {outcome.problem}", flush=True)


def table(rows: list[records.Row]) -> list[str]:
    """The latest row of each model and size, in Markdown, and the geometric means of the ratios."""
    sides = [name for name in DYNAMIC_SIDES if any(name in row["sides"] for row in rows)]
    titles = [DYNAMIC_SIDES[name][0] for name in sides]
    lines = [
        f"| model | size | {' | '.join(f'{title}, ms (first)' for title in titles)} | one to each |",
        f"|{'---|' * (len(sides) + 3)}",
    ]
    ratios: list[float] = []
    for row in rows:
        cells = [_cell(row["sides"].get(name)) for name in sides]
        ratio = _ratio(row)
        ratios += [] if ratio is None else [ratio]
        size = "x".join(map(str, row["sizes"]))
        said = "" if ratio is None else f"{ratio:.2f}"
        lines.append(f"| {DYNAMIC_CASES[row['model']].title} | {size} | {' | '.join(cells)} | {said} |")
    if ratios:
        mean = exp(sum(map(log, ratios)) / len(ratios))
        lines += ["", f"Geometric mean of the {len(ratios)} ratios: {mean:.2f}."]
    return lines


def _ratio(row: records.Row) -> float | None:
    dynamic, static = (row["sides"].get(name, {}).get("ms") for name in ("dynamic", "static"))
    return dynamic / static if dynamic and static else None


def _cell(side: records.Row | None) -> str:
    if side is None:
        return ""
    if "reason" in side:
        return "cannot"
    return f"{side['ms']:.3g} ({side['first_ms']:.3g}){' ≠' if side['differs'] else ''}"


def latest(pinned: bool, small: bool) -> list[records.Row]:
    """The newest row of each model and size, in the order of the table of models."""
    found: dict[tuple[str, Sizes], records.Row] = {}
    for row in records.read(_TABLE):
        if (row["pinned"], row["small"], row["machine"]) == (pinned, small, records.machine()):
            found[row["model"], tuple(row["sizes"])] = row
    wanted = [(model, sizes) for model, case in DYNAMIC_CASES.items() for sizes in case.sizes]
    return [found[key] for key in wanted if key in found]


def main() -> None:
    """Measure, then print the table."""
    chosen = arguments()
    for model in [] if chosen.report_only else chosen.only:
        measure(model, chosen)
    print("\n".join(table(latest(chosen.pin, chosen.small))))


if __name__ == "__main__":
    main()
