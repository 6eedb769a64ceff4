"""Golden traces: the inputs and outputs of each step of a call, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bridge.compiled.hooks import StepEvent
from bridge.errors import UsageError
from lowering.frontend.state_dicts.safetensors_files import write_safetensors
from lowering.host.memory import in_kind

INDEX = "steps.json"


class Recorder:
    """A hook that writes each step to a folder, which is new or empty. Raises UsageError where it cannot.

    `000.inputs.safetensors` and `000.outputs.safetensors` are of the first step, its values by name. The file
    `steps.json` says of each step its segment, engine, nodes and seconds.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty: steps are recorded in a new folder")
        except OSError as error:
            raise UsageError(f"cannot record in {folder}: {error.strerror or error}") from error
        self._folder = folder
        self._steps: list[dict[str, Any]] = []

    def __call__(self, event: StepEvent) -> None:
        number = f"{len(self._steps):03d}"
        files = {
            name: self._write(f"{number}.{name}.safetensors", values)
            for name, values in (("inputs", event.inputs), ("outputs", event.outputs))
        }
        self._steps.append(
            {
                "segment": event.segment,
                "engine": event.engine,
                "nodes": list(event.nodes),
                "seconds": event.seconds,
                **files,
            }
        )
        self._save(INDEX, lambda path: path.write_text(json.dumps(self._steps, indent=2) + "\n"))

    def _write(self, name: str, values: Mapping[str, Any]) -> str:
        arrays = {key: _array(value) for key, value in values.items()}
        self._save(name, lambda path: write_safetensors(path, arrays))
        return name

    def _save(self, name: str, write: Callable[[Path], object]) -> None:
        path = self._folder / name
        try:
            write(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _array(value: Any) -> np.ndarray:
    if not hasattr(value, "shape"):
        return np.array(value)
    array = in_kind(value, is_torch=False)
    return np.ascontiguousarray(array).reshape(array.shape)
