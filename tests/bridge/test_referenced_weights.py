"""Artifacts that point into the file that was lowered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import bridge
from bridge.errors import ArtifactError, UsageError
from bridge.referenced_weights import open_files, saved_as, storage_of
from tests.bridge.command_line import ok

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Tied(torch.nn.Module):
    """Two layers of one weight, one of its rows by itself, and a table that no state dict has."""

    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.register_buffer("table", torch.arange(4.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x)) + self.table


def module(seed: int = 0) -> Tied:
    torch.manual_seed(seed)
    return Tied().eval()


def exported(folder: Path, seed: int = 0) -> Path:
    torch.export.save(torch.export.export(module(seed), (X,)), folder / "model.pt2")
    return folder / "model.pt2"


def eager(seed: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return module(seed)(X)


def referring(folder: Path) -> Path:
    """An artifact that refers to `model.pt2` beside it."""
    return bridge.lower(exported(folder)).save(folder / "m.bridge", weights="reference")


@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_a_pt2(engine: str, tmp_path: Path) -> None:
    artifact = referring(tmp_path)
    assert "weights.irpa" in {file.name for file in artifact.iterdir()}
    loaded = bridge.load(artifact)
    torch.testing.assert_close(loaded.compile(engine)(X), eager())
    assert {s.part.path for s in loaded.weights.storages.values() if s.part} == {tmp_path / "model.pt2"}
    copied = bridge.lower(tmp_path / "model.pt2").save(tmp_path / "copy.bridge")
    sizes = [(path / "weights.irpa").stat().st_size for path in (artifact, copied)]
    assert sizes[0] < sizes[1]


def test_a_safetensors_file(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in module(1).state_dict().items() if name != "two.weight"}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="the weight 'table' is not in a file as it is"):
        bridge.lower(module(), (X,), weights=tmp_path / "w.safetensors").save(
            tmp_path / "m.bridge", weights="reference"
        )
    lowered = bridge.lower(exported(tmp_path), weights=tmp_path / "w.safetensors")
    loaded = bridge.load(lowered.save(tmp_path / "m.bridge", weights="reference"))
    torch.testing.assert_close(loaded.compile("xla")(X), eager(1))
    assert {s.part.path.name for s in loaded.weights.storages.values() if s.part} == {
        "model.pt2", "w.safetensors",
    }  # fmt: skip


def test_an_artifact_that_refers_stays_so(tmp_path: Path) -> None:
    again = bridge.load(referring(tmp_path)).save(tmp_path / "again.bridge")
    assert "" in json.loads((again / "weights.json").read_text())
    copy = bridge.load(again).save(tmp_path / "copy.bridge", weights="copy")
    assert "" not in json.loads((copy / "weights.json").read_text())
    (tmp_path / "model.pt2").unlink()
    torch.testing.assert_close(bridge.load(copy).compile("aten")(X), eager())


def test_a_file_that_moved_or_changed(tmp_path: Path) -> None:
    artifact, file = referring(tmp_path), tmp_path / "model.pt2"
    content = file.read_bytes()

    def refusal() -> str:
        with pytest.raises(ArtifactError) as caught:
            bridge.load(artifact)
        return str(caught.value)

    told = f"{file}, which has the artifact's weights,"
    file.unlink()
    assert refusal() == f"{told} cannot be read: No such file or directory; lower the model again"
    file.write_bytes(content + b"\0")
    size = len(content)
    assert refusal() == (
        f"{told} has changed: it has {size + 1} bytes, and had {size}; lower the model again"
    )
    file.write_bytes(b"\1" + content[1:])
    assert refusal() == f"{told} has changed: its checksum is another one; lower the model again"
    file.unlink()
    file.mkdir()
    assert refusal() == f"{told} is not a file"
    file.rmdir()
    file.write_bytes(content)
    torch.testing.assert_close(bridge.load(artifact).compile("aten")(X), eager())


def test_ways_that_do_not_exist(tmp_path: Path) -> None:
    lowered = bridge.lower(module(), (X,))
    with pytest.raises(UsageError, match="weights are saved as 'copy' or 'reference', not 'link'"):
        lowered.save(tmp_path / "m.bridge", weights="link")
    with pytest.raises(UsageError, match=r"is not in a file as it is, which nothing can refer to"):
        saved_as(lowered.weights, "reference")
    assert not (tmp_path / "m.bridge").exists()


@pytest.mark.parametrize("rows", [{}, [[1, 2, "x"]], [["/x", "2", "x"]], [["/x", 2]]])
def test_rows_that_are_not_files(rows: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_files(rows)


@pytest.mark.parametrize("entry", [[0, 0, 9], [1, 0, 1], [0, -1, 1], [0, 0], "0", [0, 0, True], [0, 8, 1]])
def test_places_that_are_not_in_the_files(entry: Any) -> None:
    with pytest.raises(ValueError, match="is not a place in a file"):
        storage_of([(Path("x"), np.zeros(8, np.uint8))], entry)


def test_on_the_command_line(tmp_path: Path) -> None:
    file = exported(tmp_path)
    ok("lower", file, "-e", "none", "--weights", "reference", "-o", tmp_path / "m.bridge")
    assert "" in json.loads((tmp_path / "m.bridge" / "weights.json").read_text())
    np.save(tmp_path / "x.npy", X.numpy())
    ok("run", tmp_path / "m.bridge", "-e", "aten", "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), eager().numpy(), 1e-4, 1e-5)
