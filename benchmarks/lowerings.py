"""One lowering of a `.pt2` file, in a process of its own, for `benchmarks.lowering`.

    python -m benchmarks.lowerings '{"side": "bridge", "path": "model.pt2"}' lines.jsonl

Each side imports first; what is timed begins with the file and ends with the module in memory. Bridge reads
and lowers without torch, where no node needs a decomposition.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.memory import forget_peak, peak, resident
from benchmarks.processes import tell

#: Takes a path; what it returns is written down with the figures.
Lower = Callable[[str], dict[str, Any]]


def _bridge() -> Lower:
    """All of the StableHLO, as portable bytecode."""
    import bridge
    import bridge.lowered
    from lowering.ir.plan import Placement
    from lowering.stablehlo.registry import load_families

    load_families()

    def lower(path: str) -> dict[str, Any]:
        lowered = bridge.lower(path)
        segments = enumerate(lowered.plan.segments)
        modules = [lowered.module(i) for i, s in segments if s.placement is Placement.STABLEHLO]
        return {"modules": len(modules), "on_aten": len(lowered.plan.reasons)}

    return lower


def _torch_mlir() -> Lower:
    """What its own examples do."""
    import torch.export
    import torch_mlir.fx

    def lower(path: str) -> dict[str, Any]:
        program = torch.export.load(path).run_decompositions()
        torch_mlir.fx.export_and_import(program, output_type="stablehlo")
        return {}

    return lower


def _onnx() -> Lower:
    """torch's own exporter; the file is not written."""
    import onnxscript  # noqa: F401 - imported before the clock starts
    import torch.export
    import torch.onnx

    def lower(path: str) -> dict[str, Any]:
        torch.onnx.export(torch.export.load(path), dynamo=True, verbose=False)
        return {}

    return lower


def _openvino() -> Lower:
    import openvino
    import torch.export

    def lower(path: str) -> dict[str, Any]:
        openvino.convert_model(torch.export.load(path))
        return {}

    return lower


LOWERINGS: dict[str, Callable[[], Lower]] = {
    "bridge": _bridge,
    "torch-mlir": _torch_mlir,
    "torch.onnx": _onnx,
    "OpenVINO": _openvino,
}


def export(model: str, small: bool, path: str) -> None:
    """Write a model of the table, float32, batch 1."""
    import torch

    from benchmarks.cases import CASES

    built = CASES[model].build(small, 1, torch.float32)
    for module in built.module.modules():
        # torch-mlir does not find buffers that are not persistent: "Could not find state mapping for buffer".
        module._non_persistent_buffers_set.clear()
    torch.export.save(built.export(), path)


def main() -> None:
    """Do what the request says."""
    request, lines = json.loads(sys.argv[1]), sys.argv[2]
    if request["side"] == "export":
        export(request["model"], request["small"], request["path"])
        return
    lower = LOWERINGS[request["side"]]()
    forget_peak()
    before, started = resident(), time.perf_counter()
    said = lower(request["path"])
    tell(lines, seconds=time.perf_counter() - started, megabytes=peak() - before, **said)


if __name__ == "__main__":
    main()
