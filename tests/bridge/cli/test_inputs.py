"""Which file, and which array of an .npz, is which input: by its name, by its place, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bridge.command_line import bridge_cli, ok, refused


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


def test_a_file_is_given_to_an_input_by_name(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a=x.npy", X)
    np.save(tmp_path / "b.npy", MASK)
    out = tmp_path / "out.npy"
    for words in (("x={a}", "mask={b}"), ("mask={b}", "{a}"), ("{a}", "mask={b}")):
        files = [word.format(a=tmp_path / "a=x.npy", b=tmp_path / "b.npy") for word in words]
        ok("run", model, "-e", "aten", "-i", files[0], "-i", files[1], "-o", out)
        np.testing.assert_array_equal(np.load(out), X - 2 * MASK)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("masks={a}", "x={a}"), "the program has no input masks, it takes x, mask; did you mean `mask`?"),
        (("x={a}", "x={a}"), "input x is given 2 times: only images are put together"),
        (("x={a}",), "the program takes 1 more input (mask), none was given"),
        (("x={z}", "mask={a}"), "z.npz has 2 arrays, x=... takes one"),
        (("x={t}", "mask={a}"), "input x is f32[2], and a file of tokens is for integers"),
        (("{s}",), "s.safetensors: it cannot be read"),
    ],
)
def test_names_and_files_that_do_not_fit(
    model: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "z.npz", x=X, mask=MASK)
    (tmp_path / "t.txt").write_text("1 2")
    (tmp_path / "s.safetensors").write_text("no")
    files = {file.stem: file for file in tmp_path.iterdir()}
    refused(message, "run", model, *[part for word in words for part in ("-i", word.format(**files))])


class Embed(torch.nn.Module):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return ids + 1


def test_tokens_are_taken_where_the_input_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Embed(), (torch.ones(1, 3, dtype=torch.int32),)), path)
    (tmp_path / "ids.txt").write_text("5 6 7\n")
    status, _, err = bridge_cli(
        "run", path, "-e", "aten", "-i", tmp_path / "ids.txt", "-o", tmp_path / "out.npy"
    )
    assert status == 0
    assert err == f"bridge: input ids: [1, 3], tokens from {tmp_path / 'ids.txt'}\n"
    made = np.load(tmp_path / "out.npy")
    assert made.dtype == np.int32
    assert made.tolist() == [[6, 7, 8]]
