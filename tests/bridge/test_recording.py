"""Golden traces: what each step is given and makes, in files."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

from bridge.compiled.hooks import StepEvent
from bridge.errors import BridgeError, UsageError
from bridge.recording import Recorder
from lowering.frontend.state_dicts.safetensors_files import read_safetensors
from lowering.host.weights import materialise
from tests.bridge.compiled.test_hooks import three_steps


def read(path: Path) -> dict[str, np.ndarray]:
    weights = read_safetensors(path)
    return dict(materialise(weights, list(weights.views)))


def test_each_step_is_written(tmp_path: Path) -> None:
    f, _ = three_steps()
    with f.on_step(Recorder(tmp_path / "new")):
        f(torch.ones(3))
    steps = json.loads((tmp_path / "new" / "steps.json").read_text())
    assert [(s["segment"], s["engine"], s["nodes"]) for s in steps] == [
        (0, "fake", ["y"]),
        (1, "aten", ["z"]),
        (2, "fake", ["out"]),
    ]
    values = [
        {name: array.tolist() for name, array in read(tmp_path / "new" / s[side]).items()}
        for s in steps
        for side in ("inputs", "outputs")
    ]
    y, z = {"y": [2.0, 2.0, 2.0]}, {"z": [2.0, 3.0, 4.0]}
    assert values == [{"x": [1.0] * 3}, y, y, z, z, {"out": [6.0, 9.0, 12.0]}]


def test_dtypes_are_kept(tmp_path: Path) -> None:
    given = {
        "half": np.ones(3, ml_dtypes.bfloat16),
        "byte": np.array([True, False, True]),
        "complex": np.array([[1 + 2j]], np.complex64),
        "scalar": 7,
        "empty": np.zeros((0, 2)),
        "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    }
    Recorder(tmp_path)(StepEvent(0, "aten", (), given, {}, 0.0, 0.0))
    found = read(tmp_path / "000.inputs.safetensors")
    assert found.keys() == given.keys()
    for name, value in given.items():
        array = np.asarray(value)
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist()


def test_a_dtype_that_the_format_lacks_is_named(tmp_path: Path) -> None:
    event = StepEvent(0, "aten", (), {"z": np.zeros(1, np.complex128)}, {}, 0.0, 0.0)
    with pytest.raises(BridgeError, match=r"no complex128, which 'z' is of"):
        Recorder(tmp_path)(event)


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        Recorder(tmp_path)
    with pytest.raises(UsageError, match="cannot record in"):
        Recorder(tmp_path / "mine" / "below")
