"""What starting costs: seconds to a first result, and memory, cold and with what a first start left.

    python -m benchmarks.start [--only resnet50,bert] [--sides xla,onnxruntime]

Each start is a process of its own; see `benchmarks.starting` for what counts. float32, batch 1. Lines go to
out/bench/start.jsonl; what is there with the same versions is not measured again. The tables of docs/ are
written anew in the end.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import records, report
from benchmarks.cases import CASES
from benchmarks.choices import chooser, names
from benchmarks.processes import run_child
from benchmarks.sides import OURS, SIDES


def measure(model: str, side: str, small: bool, limit: float) -> records.Row:
    """A cold start, then a warm one; or why there is none."""
    found: records.Row = {}
    with TemporaryDirectory() as folder:
        # torch.compile and Bridge keep what they compile here.
        environment = {
            "TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "inductor"),
            "BRIDGE_CACHE_DIR": str(Path(folder) / "bridge"),
        }
        for phase in ("cold", "warm"):
            request = {"side": side, "model": model, "small": small, "phase": phase, "folder": folder}
            outcome = run_child("benchmarks.starting", request, limit=limit, environment=environment)
            if outcome.problem:
                return {"reason": f"{phase}: {outcome.problem}"}
            found[phase] = outcome.lines[-1]
    return found


def shown(row: records.Row) -> str:
    """A side's starts for the terminal."""
    if "reason" in row:
        return row["reason"]
    parts = [f"{phase} {row[phase]['seconds']:.2f} s, {row[phase]['megabytes']:.0f} MB" for phase in row]
    return "; ".join(parts)


def main() -> None:
    """Measure what was not, then report."""
    parser = chooser("start", __doc__)
    parser.add_argument("--sides", type=names(SIDES), default=list(SIDES), help=f"of {', '.join(SIDES)}")
    chosen = parser.parse_args()
    for model in [] if chosen.report_only else chosen.only:
        key = {"model": model, "small": chosen.small, "machine": records.machine()}
        done = set() if chosen.again else records.measured("start", key, OURS)
        for side in chosen.sides:
            if side in done:
                continue
            row = measure(model, side, chosen.small, chosen.limit)
            described = {**key, "versions": records.versions(), "date": str(date.today())}
            records.append("start", {**described, "sides": {side: row}})
            print(f"{CASES[model].title}, {SIDES[side].title}: {shown(row)}", flush=True)
    report.write()


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
