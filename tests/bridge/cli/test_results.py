"""The results of a call, by name: outputs, written inputs, buffers; exact in each format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

import bridge
from bridge.cli.results import output_names, write_results
from bridge.compiled.interpreted import Interpreted
from bridge.errors import UsageError
from lowering.host.weights import materialise
from lowering.ir.program import Program
from tests.bridge.command_line import ok, refused


class Counter(torch.nn.Module):
    """Writes a buffer and an input; gives a tensor twice, a bfloat16 one and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x: torch.Tensor, cache: torch.Tensor) -> dict[str, Any]:
        self.count.add_(x)  # pyright: ignore[reportCallIssue]
        cache.mul_(2)
        y = x.relu()
        return {"a": y, "b": x.to(torch.bfloat16) / 3, "again": y, "n": 3, "none": None}


X, CACHE = np.array([1, -2], np.float32), np.array([3, 4], np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt2"
    torch.export.save(torch.export.export(Counter(), (torch.ones(2), torch.ones(2))), path)
    np.savez(path.parent / "in.npz", x=X, cache=CACHE)
    return path


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        weights = bridge.read_weights(path)
        return dict(materialise(weights, weights.views))
    with np.load(path, allow_pickle=False) as content:
        return dict(content)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_everything_by_name(model: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    ok("run", model, "-e", "aten", "-i", model.parent / "in.npz", "-o", out)
    found = _read(out)
    assert set(found) == {
        *(f"outputs/{name}" for name in ("a", "b", "again", "n")), "inputs/cache", "buffers/count"
    }  # fmt: skip
    for name in ("a", "again"):
        np.testing.assert_array_equal(found[f"outputs/{name}"], np.maximum(X, 0))
    np.testing.assert_array_equal(found["inputs/cache"], 2 * CACHE)
    np.testing.assert_array_equal(found["buffers/count"], X)
    assert found["outputs/n"] == 3
    wanted = (torch.from_numpy(X).to(torch.bfloat16) / 3).view(torch.uint16).numpy()
    dtype = ml_dtypes.bfloat16 if suffix == ".safetensors" else np.uint16
    assert found["outputs/b"].dtype == dtype
    np.testing.assert_array_equal(found["outputs/b"].view(np.uint16), wanted)


def test_the_command_line_shows_them(model: Path) -> None:
    words = ("run", model, "-e", "aten", "-i", model.parent / "in.npz")
    text = ok(*words)
    assert "output a: float32 [2]\n[1. 0.]" in text
    assert "input cache, after the call: float32 [2]\n[6. 8.]" in text
    assert "buffer count, after the call: float32 [2]\n[ 1. -2.]" in text
    data = json.loads(ok(*words, "--json"))
    assert [row["name"] for row in data["inputs"] + data["buffers"]] == ["cache", "count"]
    assert data["outputs"][0]["name"] == "a"


class Point(NamedTuple):
    x: Any
    y: Any


class Nest(torch.nn.Module):
    """Gives what `structure` makes of two tensors."""

    def __init__(self, structure: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.structure = structure

    def forward(self, x: torch.Tensor) -> Any:
        return self.structure(x + 1, x * 2)


NAMED = {
    "a value": (lambda a, b: a, ["add"]),
    "places alone": (lambda a, b: (a, [b, a, 3]), ["add", "mul", "add.2", "out3"]),
    "keys": (
        lambda a, b: {"logits": a, "cache": [{"key": b}, {"key": a}]},
        ["logits", "cache.0.key", "cache.1.key"],
    ),
    "keys below places": (lambda a, b: (a, {"a": b}), ["add", "1.a"]),
    "keys that are numbers": (lambda a, b: {1: a, 0: b}, ["1", "0"]),
    "fields": (lambda a, b: Point(a, (b,)), ["x", "y.0"]),
    "a model's output": (
        lambda a, b: CausalLMOutputWithPast(logits=a, hidden_states=(b, a)),
        ["logits", "hidden_states.0", "hidden_states.1"],
    ),
    "two ways of one name": (
        lambda a, b: {"a": [a], "a.0": b, "a.0.1": a, "1": a, 1: b},
        ["a.0", "a.0.1.1", "a.0.1", "1", "1.4"],
    ),
    "a key like a node": (lambda a, b: [a, [b, {"add": 1}], a], ["add", "mul", "1.1.add", "add.3"]),
    "keys that no file should have": (
        lambda a, b: {"../a/b": a, "": b, "\x1b[2Jé": a},
        [".._a_b", "_", "__2Jé"],
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_outputs_are_named_by_their_way_in_the_results(case: str) -> None:
    structure, names = NAMED[case]
    program = bridge.extract(Nest(structure), (torch.ones(2),))
    assert output_names(program) == names
    assert output_names(Program.from_json(program.to_json())) == names


def test_info_and_run_name_outputs_alike(tmp_path: Path) -> None:
    structure, names = NAMED["a model's output"]
    model = bridge.extract(Nest(structure), (torch.ones(2),)).save(tmp_path / "m.json")
    np.save(tmp_path / "x.npy", X)
    assert [row["name"] for row in json.loads(ok("info", model, "--json"))["outputs"]] == names
    ok("run", model, "-e", "aten", "-i", tmp_path / "x.npy", "-o", tmp_path / "y.safetensors")
    found = _read(tmp_path / "y.safetensors")
    assert list(found) == sorted(f"outputs/{name}" for name in names)
    np.testing.assert_array_equal(found["outputs/logits"], X + 1)
    np.testing.assert_array_equal(found["outputs/hidden_states.0"], X * 2)


def test_results_are_inputs_again(model: Path, tmp_path: Path) -> None:
    """A .safetensors file of arrays by the inputs' names is taken as it is."""
    np.savez(tmp_path / "a.npz", cache=X, x=CACHE)
    for file in (tmp_path / "a.npz", _as_safetensors(tmp_path)):
        out = tmp_path / f"{file.suffix[1:]}.npz"
        ok("run", model, "-e", "aten", "-i", file, "-o", out)
        np.testing.assert_array_equal(_read(out)["buffers/count"], CACHE)


def _as_safetensors(folder: Path) -> Path:
    from lowering.frontend.state_dicts.safetensors_files import write_safetensors

    write_safetensors(folder / "a.safetensors", {"cache": X, "x": CACHE})
    return folder / "a.safetensors"


def test_a_program_that_runs_as_it_is_names_the_same(model: Path) -> None:
    lowered = bridge.lower(model)
    interpreted = Interpreted(lowered.program, lowered.plan, lowered.weights)
    assert interpreted.written == lowered.compile("aten").written == (("cache",), ("count",))


def test_formats_that_lack_a_dtype(tmp_path: Path) -> None:
    wide = {"outputs": {"x": np.ones(2, np.complex128)}, "inputs": {}, "buffers": {}}
    with pytest.raises(UsageError, match=r"the format has no complex128, .*; write an \.npz"):
        write_results(tmp_path / "out.safetensors", wide)
    assert list(tmp_path.iterdir()) == []
    write_results(tmp_path / "out.npz", wide)
    assert _read(tmp_path / "out.npz")["outputs/x"].dtype == np.complex128


class HalfComplex(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.complex32)


def test_a_dtype_that_numpy_lacks(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(HalfComplex(), (torch.ones(2),)), path)
    np.save(tmp_path / "x.npy", X)
    refused("is complex32, which numpy lacks", "run", path, "-e", "aten", "-i", tmp_path / "x.npy")


def test_other_files_are_refused_before_anything_runs(model: Path, tmp_path: Path) -> None:
    refused("results are written as .npz or .safetensors", "run", model, "-o", tmp_path / "a.txt")
    refused("does not exist", "run", model, "-o", tmp_path / "none" / "a.npz")
    words = ("run", model, "-e", "aten", "-i", model.parent / "in.npz", "-o", tmp_path / "a.npy")
    refused("the program has 5 outputs; write an .npz", *words)
