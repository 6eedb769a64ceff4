"""Sessions of the others' runtimes, as a user would set them; without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowering.host.machine import cores


def onnx_session(path: Path) -> Any:
    """ONNX Runtime on a file, a thread for each core."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def openvino_model(model: Any, halves: bool = False, cache: Path | None = None) -> Any:
    """OpenVINO on a model, or the path of one, for the latency of one call, a thread for each core.

    `halves`: whether it may compute in bfloat16, which it otherwise does to float32 where it can. `cache`: a
    folder for what it compiles.
    """
    import openvino

    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if halves else "f32",
        "INFERENCE_NUM_THREADS": cores(),
        **({"CACHE_DIR": str(cache)} if cache else {}),
    }
    return openvino.Core().compile_model(model, "CPU", properties)
