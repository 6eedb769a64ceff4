"""Arguments against their operator's schema: what torch takes fits, a file's odd ones are told by node."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import bridge
from lowering.ir.argument_types import fits
from lowering.ir.program import Arg, Ref
from lowering.ir.types import DType, SymKind, SymType, contiguous
from tests.bridge.samples import path_of

VALUES = {"x": contiguous(DType.FLOAT32, (2,)), "n": SymType(SymKind.INT, 3)}
X, N = Ref("x"), Ref("n")


@pytest.mark.parametrize(
    ("value", "declared", "fit"),
    [
        (X, "Tensor", True),
        (N, "Tensor", True),
        (3, "Tensor", True),
        (None, "Tensor", False),
        (None, "Tensor?", True),
        ((X, None), "Tensor?[]", True),
        ((X, None), "Tensor[]", False),
        (X, "Tensor[]", False),
        ((1, N), "SymInt[]", True),
        (1, "SymInt[2]", True),
        (1, "SymInt[]", False),
        (1.5, "SymInt", False),
        (X, "SymInt", False),
        (Ref("ghost"), "SymInt", False),
        (1, "float", True),
        (1j, "Scalar", True),
        ("mean", "Scalar", False),
        ("mean", "str", True),
        (True, "bool", True),
        (2, "bool", False),
        (DType.INT8, "ScalarType?", True),
        (7, "ScalarType", False),
        (7, "Generator?", True),
    ],
)
def test_fits(value: Arg, declared: str, fit: bool) -> None:
    assert fits(value, declared, VALUES) is fit


def _with_argument(tmp_path: Path, name: str, argument: dict[str, Any]) -> Path:
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path_of("mlp")) as archive, zipfile.ZipFile(path, "w") as made:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith("models/model.json"):
                model = json.loads(data)
                node = model["graph_module"]["graph"]["nodes"][2]
                next(item for item in node["inputs"] if item["name"] == name)["arg"] = argument
                data = json.dumps(model).encode()
            made.writestr(info.filename, data)
    return path


@pytest.mark.parametrize("argument", [{"as_string": "half"}, {"as_ints": [1]}, {"as_none": True}])
def test_a_file_s_odd_argument_is_one_sentence(argument: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(bridge.BridgeError) as caught:
        bridge.lower(_with_argument(tmp_path, "p", argument))
    assert "node dropout: aten.dropout.default takes 'p' as float, not" in str(caught.value)
    assert "\n" not in str(caught.value)
