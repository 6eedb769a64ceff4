"""One start of one side, in a process of its own, for `benchmarks.start`.

    python -m benchmarks.starting '{"side": "xla", "model": "mlp", "phase": "cold", ...}' lines.jsonl

Cold: from a model in memory to its first result; then what a second start may use is left in the folder.
Warm: a new process with that folder. Counted are imports, loading, compiling and the first call; not counted
is making the model and its inputs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.memory import forget_peak, peak, resident
from benchmarks.processes import tell
from benchmarks.sessions import onnx_session, openvino_model

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.sides import Subject

    Arrays = dict[str, np.ndarray]

_ARTIFACT, _INPUTS, _CACHE = "model.bridge", "inputs.npz", "cache"


class Stopwatch:
    """Seconds and megabytes of the parts that count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.megabytes = 0.0

    def __enter__(self) -> Stopwatch:
        forget_peak()
        self._before = resident()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started
        self.megabytes += peak() - self._before

    def figures(self) -> dict[str, float]:
        return {"seconds": self.seconds, "megabytes": self.megabytes}


def from_model(side: str, model: str, small: bool, folder: Path, leaves: bool) -> dict[str, float]:
    """Build the side of the model in memory and call it. `leaves`: something for a second start."""
    watch = Stopwatch()
    with watch:
        import torch

        torch.set_grad_enabled(False)
    from benchmarks.cases import CASES
    from benchmarks.sides import SIDES, Subject, quiet
    from lowering.host.machine import cores

    quiet()
    torch.set_num_threads(cores())
    subject = Subject(CASES[model].build(small, 1, torch.float32), folder)
    args, kwargs = subject.model.calls[0]
    with watch:
        started = time.perf_counter()
        run = SIDES[side].build(subject)
        run(*args, **kwargs)
        first = time.perf_counter() - started
    figures = watch.figures()
    later = [_seconds(lambda: run(*args, **kwargs)) for _ in range(3)]
    if leaves and side in LOADERS:
        _leave(subject, side, folder)
    return {**figures, "compile_seconds": first - min(later)}


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _leave(subject: Subject, side: str, folder: Path) -> None:
    """The inputs; and what a user of this side would keep."""
    import numpy as np
    import torch.utils._pytree as pytree

    leaves = pytree.tree_leaves(subject.model.calls[0])
    inputs: Any = {name: leaf.numpy() for name, leaf in zip(subject.input_names, leaves, strict=True)}
    np.savez(folder / _INPUTS, **inputs)
    if side == "openvino":
        import openvino

        model = openvino.convert_model(subject.exported)
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
        _load_openvino(folder, inputs)  # fills its cache
    elif side != "onnxruntime":
        subject.lowered.save(folder / _ARTIFACT)


def from_folder(side: str, folder: Path) -> dict[str, float]:
    """Load what the first start left, and call it, numpy in: without torch, if the side can."""
    import numpy as np

    with np.load(folder / _INPUTS) as held:
        arrays = dict(held)
    with Stopwatch() as watch:
        LOADERS[side](folder, arrays)
    return watch.figures()


def _load_onnx(folder: Path, arrays: Arrays) -> Any:
    session = onnx_session(folder / "model.onnx")
    return session.run(None, {value.name: arrays[value.name] for value in session.get_inputs()})


def _load_openvino(folder: Path, arrays: Arrays) -> Any:
    return openvino_model(folder / "model.xml", cache=folder / _CACHE)(list(arrays.values()))


def _load_bridge(engine: str) -> Callable[[Path, Arrays], Any]:
    def load(folder: Path, arrays: Arrays) -> Any:
        import bridge
        from lowering.ir.tree import unflatten

        lowered = bridge.load(folder / _ARTIFACT)
        args, kwargs = unflatten(list(arrays.values()), lowered.program.signature.in_spec)
        return lowered.compile(engine)(*args, **kwargs)

    return load


#: Sides whose second start is from files; the others start from the model, with the caches that they keep.
LOADERS: dict[str, Callable[[Path, Arrays], Any]] = {
    "onnxruntime": _load_onnx,
    "openvino": _load_openvino,
    "xla": _load_bridge("xla"),
    "iree": _load_bridge("iree"),
    "aten": _load_bridge("aten"),
    "auto": _load_bridge("auto"),
}


def main() -> None:
    """Make the start that the request names."""
    request, lines = json.loads(sys.argv[1]), sys.argv[2]
    side, folder, cold = request["side"], Path(request["folder"]), request["phase"] == "cold"
    if cold or side not in LOADERS:
        figures = from_model(side, request["model"], request["small"], folder, leaves=cold)
    else:
        figures = from_folder(side, folder)
    tell(lines, **figures)


if __name__ == "__main__":
    main()
