"""Containers of somebody's package: their class where it is imported, a dict of their fields where not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

import bridge
from tests.bridge import own_containers as own
from tests.bridge.calls import Call

X = torch.tensor([[1.0, 2.0, 4.0]])

# Results of an input, as a program in memory gives them.
RESULTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "dataclass": lambda x: own.Output(x + 1, (x * 2, x * 3)),
    "dataclass without fields": lambda x: own.Output(x + 1),
    "dataclass without a name": lambda x: own.Nameless(x + 1, (x * 2,)),
    "registered": lambda x: [own.LabelledBox(x + 1, x * 2, "mine")],
    "registered without a name": lambda x: {"box": own.Box(x + 1, x * 2, "mine")},
    "namedtuple": lambda x: own.Point(x + 1, own.Point(x * 2, x * 3)),
    "typed namedtuple": lambda x: own.Typed(x + 1, x * 2),
    "torch's own": lambda x: (x + 1).max(1),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_program_in_memory_gives_the_class(name: str) -> None:
    want = RESULTS[name](X)
    compiled = bridge.lower(Call(RESULTS[name]), (X,)).compile("aten")
    leaves, structure = pytree.tree_flatten(compiled(X))
    expected, wanted = pytree.tree_flatten(want)
    assert structure == wanted
    for got, leaf in zip(leaves, expected, strict=True):
        torch.testing.assert_close(got, leaf)
    assert own.Point not in pytree.SUPPORTED_SERIALIZED_TYPES, "torch learns nothing"


FLAGS: dict[str, Callable[[torch.Tensor], Any]] = {
    "constants": lambda x: (x + 1, True, False, None, 2, 0.5, "text"),
    "nothing but constants": lambda x: {"a": True, "b": [1, "s"]},
    "a condition on a size": lambda x: (x + 1, x.shape[0] > 2, x.shape[0] == 4),
    "numbers of a size": lambda x: (x.shape[0], x.shape[0] / 2, x.shape[0] * 2),
    "nothing": lambda x: None,
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", FLAGS)
def test_results_that_are_no_tensors(name: str, strict: bool) -> None:
    shapes = {"tensors": ({0: torch.export.Dim.AUTO},)}
    exported = torch.export.export(
        Call(FLAGS[name]), (torch.ones(4, 3),), dynamic_shapes=shapes, strict=strict
    )
    compiled = bridge.lower(exported).compile("xla")
    for rows in (4, 2) if exported.range_constraints else (4,):
        x = torch.ones(rows, 3)
        got, want = compiled(x), exported.module()(x)
        assert repr(got) == repr(want)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("containers") / "echo.pt2"
    torch.export.save(torch.export.export(own.Echo(), (own.Output(X),)), path)
    return path


def test_the_class_that_is_imported_is_taken_and_given(file: Path) -> None:
    compiled = bridge.lower(file).compile("aten")
    for given in (own.Output(X), {"logits": X}):
        result = compiled(given)
        assert isinstance(result, own.Output)
        torch.testing.assert_close(result.hidden[1], X + 1)
    with pytest.raises(ValueError, match=r"expected a own\.Output of 1 children, got 2"):
        compiled(own.Output(X, (X,)))
    with pytest.raises(ValueError, match=r"expected own\.Output, or a dict with keys \['logits'\], got"):
        compiled({"logit": X})
    assert bridge.verify(file, engines=("aten", "xla")).passed


ALONE = """
import sys, numpy as np
import bridge
x = np.array([[1, 2, 4]], np.float32)
compiled = bridge.load(sys.argv[1]).compile("iree")
got = compiled({"logits": x})
assert type(got) is dict and list(got) == ["logits", "hidden"], got
assert np.array_equal(got["hidden"][1], x + 1)
assert "torch" not in sys.modules and "jax" not in sys.modules
import torch
got = bridge.lower(sys.argv[2]).compile("aten")({"logits": torch.from_numpy(x)})
assert type(got) is dict, got
"""


def test_without_the_class(file: Path, tmp_path: Path) -> None:
    """In a process of its own, which never imports it: a dict, and every command works."""
    lowered = bridge.lower(file)
    lowered.compile("iree")
    artifact = lowered.save(tmp_path / "echo.bridge")
    np.save(tmp_path / "x.npy", X.numpy())
    subprocess.run([sys.executable, "-c", ALONE, artifact, file], check=True)
    for source in (artifact, file):
        words = [
            sys.executable,
            "-m",
            "bridge",
            "run",
            source,
            "-e",
            "aten",
            "-i",
            tmp_path / "x.npy",
            "--json",
        ]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        assert len(json.loads(done.stdout)["outputs"]) == 3
    verify = [sys.executable, "-m", "bridge", "verify", file, "-e", "aten,xla"]
    assert subprocess.run(verify, capture_output=True).returncode == 0


def test_a_class_is_found_where_its_package_is_imported() -> None:
    name = "transformers.modeling_outputs.BaseModelOutput"
    leaf = {"type": None, "context": None, "children_spec": []}
    text = json.dumps([1, {"type": name, "context": '["last_hidden_state"]', "children_spec": [leaf]}])
    code = (
        "import sys, torch\n"
        "from lowering.frontend.exported_program import registered_types\n"
        "from lowering.ir.tree import parse_spec\n"
        f"spec = parse_spec({text!r})\n"
        "assert registered_types(spec) == {}\n"
        "assert 'transformers' not in sys.modules\n"
        "import transformers\n"
        f"assert registered_types(spec)[{name!r}].type is transformers.modeling_outputs.BaseModelOutput\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
