"""Lowering BERT-base to StableHLO: `bridge.lower` against torch-mlir, time and peak memory, in one run.

Each side is a process of its own that imports first and then times; they take turns. The torch-mlir side
is what a user would otherwise do: `torch.export.load`, `run_decompositions`, `torch_mlir.fx`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROUNDS = 3

# Both print one JSON line: seconds after imports, MB of memory that the work added at its peak.
_COMMON = """
import json, resource, sys, time
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def done(started, before, size):
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "megabytes": peak() - before, "characters": size}))
"""

SIDES = {
    "bridge": _COMMON
    + """
import bridge, bridge.lowered, lowering.emit, lowering.functionalise, lowering.partition, lowering.pt2
from lowering.registry import load_families
load_families()
before, started = peak(), time.perf_counter()
lowered = bridge.lower(sys.argv[1])
assert len(lowered.plan.segments) == 1 and not lowered.plan.reasons
assert "torch" not in sys.modules
done(started, before, len(lowered.module(0).code))
""",
    "torch-mlir": _COMMON
    + """
import torch, torch.export, torch_mlir.fx
before, started = peak(), time.perf_counter()
program = torch.export.load(sys.argv[1]).run_decompositions()
module = torch_mlir.fx.export_and_import(program, output_type="stablehlo")
done(started, before, 0)
""",
}


def export_bert(path: Path) -> None:
    """Write BERT-base, 1 x 128 tokens, seeded random weights."""
    import torch

    from tests.models.zoo import ZOO

    model = ZOO["bert-base"](False)
    for module in model.module.modules():
        # torch-mlir does not find buffers that are not persistent: "Could not find state mapping for buffer".
        module._non_persistent_buffers_set.clear()
    torch.export.save(model.export(), path)


def measure(path: Path, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Least seconds and the peak megabytes of each side, run in turns."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, code in SIDES.items():
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
            )
            figures = json.loads(done.stdout.splitlines()[-1])
            if name not in best or figures["seconds"] < best[name]["seconds"]:
                best[name] = figures
    return best


def main() -> None:
    """Export, measure, print a table."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bert.pt2"
        subprocess.run(
            [sys.executable, "-c", "import sys; from pathlib import Path; from benchmarks.lowering import "
             "export_bert; export_bert(Path(sys.argv[1]))", str(path)],
            check=True,
        )  # fmt: skip
        print(f"BERT-base, {path.stat().st_size / 1e6:.0f} MB .pt2, least of {ROUNDS} runs in turns\n")
        best = measure(path)
    print("| side | seconds after imports | peak MB added |\n|---|---|---|")
    for name, figures in best.items():
        print(f"| {name} | {figures['seconds']:.2f} | {figures['megabytes']:.0f} |")
    print(f"\ntorch-mlir takes {best['torch-mlir']['seconds'] / best['bridge']['seconds']:.0f} times as long")


if __name__ == "__main__":
    main()
