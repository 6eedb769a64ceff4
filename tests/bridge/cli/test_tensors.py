"""Which array of an .npz is which input: by its name, by a place that numpy wrote, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bridge.command_line import ok, refused


class Subtract(torch.nn.Module):
    """To swap its inputs shows in the values alone."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x - 2 * mask


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt2"
    torch.export.save(torch.export.export(Subtract(), (torch.ones(2), torch.ones(2))), path)
    return path


X, MASK = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
PLACES = {"arr_0": X, "arr_1": MASK}


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("arrays", [{"x": X, "mask": MASK}, PLACES], ids=["names", "numpy's places"])
def test_arrays_are_taken_by_name(
    model: Path, tmp_path: Path, arrays: dict[str, np.ndarray], order: int
) -> None:
    np.savez(tmp_path / "in.npz", *(), **dict(list(arrays.items())[::order]))
    ok("run", model, "-e", "aten", "-i", tmp_path / "in.npz", "-o", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), X - 2 * MASK)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("X", "msk"), "has X, msk, the program takes x, mask: name each array as its input"),
        (("masks", "x"), "has masks, x, the program takes x, mask: name each array as its input"),
        (("x", "masks"), "did you mean `mask`?"),
        (("out0", "out1"), "has out0, out1, the program takes x, mask"),
        (("arr_1", "arr_2"), "has arr_1, arr_2, the program takes x, mask"),
        (("a", "b", "c"), "(the arrays are a, b, c)"),
    ],
)
def test_other_names_are_refused(model: Path, tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    np.savez(tmp_path / "in.npz", *(), **dict.fromkeys(names, X))
    for command in ("run", "verify"):
        refused(words, command, model, "-e", "aten", "-i", tmp_path / "in.npz")


def test_a_named_array_beside_one_without_a_name_is_refused(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", mask=MASK)
    np.save(tmp_path / "x.npy", X)
    files = ("-i", tmp_path / "x.npy", "-i", tmp_path / "in.npz")
    refused("has an array without a name, mask, the program takes x, mask", "run", model, *files)
