"""Lowering: `bridge.lower` against torch-mlir, torch.onnx and OpenVINO, seconds and peak memory.

    python -m benchmarks.lowering [--only bert,resnet50]

Every side reads the same `.pt2` file, in a process of its own, and they take turns; see
`benchmarks.lowerings` for what each does. float32, batch 1. Lines go to out/bench/lowering.jsonl; what is
there with the same versions is not measured again. The tables of docs/ are written anew in the end.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import records, report
from benchmarks.cases import CASES
from benchmarks.choices import chooser
from benchmarks.lowerings import LOWERINGS
from benchmarks.processes import run_child


def measure(model: str, small: bool, rounds: int, limit: float) -> records.Row:
    """Least seconds of each side and the megabytes of that round; or why it cannot."""
    best: records.Row = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        asked = {"side": "export", "model": model, "small": small, "path": str(path)}
        exported = run_child("benchmarks.lowerings", asked, limit=limit)
        if exported.problem:
            return {"sides": {side: {"reason": f"export: {exported.problem}"} for side in LOWERINGS}}
        for _ in range(rounds):
            for side in LOWERINGS:
                if "reason" in best.get(side, {}):
                    continue
                asked = {"side": side, "path": str(path)}
                outcome = run_child("benchmarks.lowerings", asked, limit=limit)
                if outcome.problem:
                    best[side] = {"reason": outcome.problem}
                elif side not in best or outcome.lines[-1]["seconds"] < best[side]["seconds"]:
                    best[side] = outcome.lines[-1]
        return {"file_megabytes": path.stat().st_size / 1e6, "sides": best}


def main() -> None:
    """Measure what was not, then report."""
    parser = chooser("lowering", __doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    chosen = parser.parse_args()
    for model in [] if chosen.report_only else chosen.only:
        key = {"model": model, "small": chosen.small, "machine": records.machine()}
        if records.measured("lowering", key, ("bridge",)) >= {"bridge"} and not chosen.again:
            continue
        row = measure(model, chosen.small, chosen.rounds, chosen.limit)
        described = {**key, "versions": records.versions(), "date": str(date.today())}
        records.append("lowering", {**described, **row})
        print(f"{CASES[model].title}: {report.lowered_line(row)}", flush=True)
    report.write()


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
