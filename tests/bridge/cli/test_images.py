"""Images as inputs: layout, range, size, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bridge.cli.images import read_images
from bridge.errors import UsageError
from lowering.ir.types import DType, TensorType
from tests.bridge.command_line import bridge_cli, ok

# Height 2, width 3.
PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14


def of(*sizes: int, dtype: DType = DType.FLOAT32) -> TensorType:
    return TensorType(dtype, sizes, sizes)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    return path


def test_channels_come_first_and_bytes_stay_bytes(photo: Path) -> None:
    array, made = read_images([photo], "x", of(1, 3, 2, 3, dtype=DType.UINT8), False)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, PIXELS.transpose(2, 0, 1)[None])
    assert made == "input x: [1, 3, 2, 3], red, green, blue, bytes as they are"


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16])
def test_floating_point_goes_from_0_to_1(photo: Path, dtype: DType) -> None:
    array, made = read_images([photo], "x", of(1, 3, 2, 3, dtype=dtype), False)
    wanted = torch.from_numpy(PIXELS.transpose(2, 0, 1)[None].copy())
    wanted = wanted.to(torch.float64 if dtype is DType.FLOAT64 else torch.float32).div(255)
    assert array.dtype.name == dtype.value
    assert torch.equal(
        torch.from_numpy(array.astype(np.float64)), wanted.to(getattr(torch, dtype.value)).double()
    )
    assert "bytes divided by 255, not normalised" in made


def test_images_of_one_input_are_stacked(photo: Path, tmp_path: Path) -> None:
    Image.fromarray(PIXELS[::-1].copy()).save(tmp_path / "b.png")
    array, _ = read_images([photo, tmp_path / "b.png"], "x", of(2, 3, 2, 3, dtype=DType.UINT8), False)
    np.testing.assert_array_equal(array[1], PIXELS[::-1].transpose(2, 0, 1))
    with pytest.raises(UsageError, match=r"takes 2 images, 1 given: repeat --input x=FILE for each"):
        read_images([photo], "x", of(2, 3, 2, 3), False)


def test_colours_become_grey_and_grey_becomes_colours(photo: Path, tmp_path: Path) -> None:
    array, made = read_images([photo], "x", of(1, 1, 2, 3, dtype=DType.UINT8), False)
    np.testing.assert_allclose(array[0, 0], PIXELS @ [0.299, 0.587, 0.114], atol=1)
    assert "colours to grey as 0.299 R + 0.587 G + 0.114 B" in made
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    array, made = read_images([tmp_path / "grey.png"], "x", of(1, 3, 2, 3, dtype=DType.UINT8), False)
    assert (array == PIXELS[..., 0]).all()
    assert "colours to" not in made


def test_another_size_is_refused_or_stretched(photo: Path) -> None:
    with pytest.raises(UsageError, match=r"is 3 x 2 pixels .*, the input takes 6 x 4: --resize stretches it"):
        read_images([photo], "x", of(1, 3, 4, 6), False)
    array, made = read_images([photo], "x", of(1, 3, 4, 6, dtype=DType.UINT8), True)
    wanted = Image.fromarray(PIXELS).resize((6, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(array[0], np.asarray(wanted).transpose(2, 0, 1))
    assert made.endswith("photo.png stretched from 3 x 2 to 6 x 4 pixels, bilinear with antialiasing")


def test_a_camera_that_was_turned_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    array, made = read_images([tmp_path / "a.png"], "x", of(1, 3, 2, 3, dtype=DType.UINT8), False)
    np.testing.assert_array_equal(array[0], PIXELS[::-1, ::-1].transpose(2, 0, 1))
    assert "a.png turned as its EXIF tag says" in made


@pytest.mark.parametrize(
    "type_",
    [of(1, 4, 2, 3), of(3, 2, 3), of(1, 3, 2, 3, dtype=DType.INT64), of(1, 3, 2, 3, dtype=DType.BOOL)],
)
def test_an_input_that_is_not_of_images(photo: Path, type_: TensorType) -> None:
    with pytest.raises(UsageError, match=r"an image is for uint8 or floating point of \[N, 3, H, W\]"):
        read_images([photo], "x", type_, False)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("RGBA", (3, 2)), "has transparency"),
        (Image.new("LA", (3, 2)), "has transparency"),
        (Image.fromarray(np.zeros((2, 3), np.uint16)), "has mode I;16"),
    ],
)
def test_an_image_that_would_lose_something(tmp_path: Path, image: Any, words: str) -> None:
    image.save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=words):
        read_images([tmp_path / "a.png"], "x", of(1, 3, 2, 3), False)


def test_files_that_are_not_images(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b.png").write_bytes(photo.read_bytes()[:50])
    # PostScript would start a program.
    (tmp_path / "c.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 2\n")
    for name in "abc":
        with pytest.raises(UsageError, match=rf"{name}\.png is not an image that Pillow reads: "):
            read_images([tmp_path / f"{name}.png"], "x", of(1, 3, 2, 3), False)
    with pytest.raises(UsageError, match=r"cannot read .*none\.png: No such file"):
        read_images([tmp_path / "none.png"], "x", of(1, 3, 2, 3), False)


def test_a_large_image_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(UsageError, match="has 81,000,000 pixels, 67,108,864 are read at most"):
        read_images([tmp_path / "a.png"], "x", of(1, 3, 2, 3), False)


class Half(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 0.5


def test_the_command_line_says_what_it_did(photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Half(), (torch.ones(1, 3, 4, 6),)), path)
    words = ("run", path, "-e", "aten", "-o", tmp_path / "out.npy")
    status, _, err = bridge_cli(*words, "-i", photo)
    assert status == 1
    assert "--resize stretches it" in err
    status, _, err = bridge_cli(*words, "-i", f"image={photo}", "--resize")
    assert status == 0
    assert err.startswith("bridge: input image: [1, 3, 4, 6], red, green, blue, bytes divided by 255")
    assert np.load(tmp_path / "out.npy").max() == np.float32(PIXELS.max() / 255 * 0.5)
    ok("verify", path, "-e", "aten", "-i", photo, "--resize")
