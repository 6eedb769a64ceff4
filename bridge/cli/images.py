"""Images as inputs of rank 4: `[N, 3, H, W]` in red, green and blue, or `[N, 1, H, W]` in grey."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import UsageError, first_line
from lowering.host.tensors import numpy_dtype
from lowering.ir.text import print_type
from lowering.ir.types import DType, TensorType

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"))
# No others: some of Pillow's readers start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_MODES = {3: "RGB", 1: "L"}
# Of 8 bits a channel, and without transparency.
_EXACT = ("1", "L", "P", "RGB", "YCbCr")
_MOST_PIXELS = 1 << 26
# The tag of EXIF that says how the camera was held.
_ORIENTATION = 0x0112


class Images(NamedTuple):
    """An input's array, and a sentence for people of how it was made."""

    array: np.ndarray
    made: str


def read_images(files: Sequence[Path], name: str, type_: Any, resize: bool) -> Images:
    """The images of one input, along its first dimension.

    Bytes stay as they are for uint8, and are divided by 255 for a floating-point dtype: from 0 to 1. Nothing
    is cropped or normalised. `resize`: stretch to the input's height and width; else they have to be these.

    Raises UsageError for an input that cannot hold images, and for files that are not such images.
    """
    channels, height, width = _geometry(name, type_)
    count = type_.sizes[0]
    if isinstance(count, int) and count != len(files):
        raise UsageError(
            f"input {name} takes {count} images, {len(files)} given: repeat --input {name}=FILE for each"
        )
    arrays: list[np.ndarray] = []
    notes: list[str] = []
    for file in files:
        array, note = _read(file, channels, (height, width), resize)
        if arrays and array.shape != arrays[0].shape:
            sizes = f"{file} is {_size(array)} pixels, {files[0]} {_size(arrays[0])}"
            raise UsageError(f"{sizes}: the images of an input have one size")
        arrays.append(array)
        notes.append(note)
    stacked = np.stack(arrays)
    layout = "grey" if channels == 1 else "red, green, blue"
    scale = "bytes as they are" if type_.dtype is DType.UINT8 else "bytes divided by 255, not normalised"
    done = "; ".join(dict.fromkeys(note for note in notes if note))
    made = f"input {name}: {list(stacked.shape)}, {layout}, {scale}{'; ' if done else ''}{done}"
    return Images(_scaled(stacked, type_.dtype), made)


def _geometry(name: str, type_: Any) -> tuple[int, int | None, int | None]:
    """Channels, height and width that an input takes; None for any. Raises UsageError."""
    if isinstance(type_, TensorType) and (type_.dtype is DType.UINT8 or type_.dtype.is_floating):
        sizes = [size if isinstance(size, int) else None for size in type_.sizes]
        if len(sizes) == 4 and sizes[1] in _MODES:
            return sizes[1] or 0, sizes[2], sizes[3]
    raise UsageError(
        f"input {name} is {print_type(type_)}, and an image is for uint8 or floating point of "
        "[N, 3, H, W] or [N, 1, H, W]: give a .npy"
    )


def _read(
    file: Path, channels: int, size: tuple[int | None, int | None], resize: bool
) -> tuple[np.ndarray, str]:
    """An image as uint8 `[channels, H, W]`, and what was done to it. Raises UsageError."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UsageError(
            f"{file}: images need Pillow, which is not installed: pip install 'bridge[images]'"
        ) from None
    try:
        # Our own limit comes before Pillow's, which is a warning.
        with warnings.catch_warnings(), Image.open(file, formats=_FORMATS) as image:
            warnings.simplefilter("ignore")
            _check(file, image)
            is_turned = image.getexif().get(_ORIENTATION, 1) != 1
            turned = ImageOps.exif_transpose(image)
            grey = channels == 1 and turned.mode not in ("1", "L")
            pixels = turned.convert(_MODES[channels])
    except UsageError:
        raise
    except FileNotFoundError as problem:
        raise UsageError(f"cannot read {file}: {problem.strerror}") from None
    except Exception as problem:  # Pillow raises whatever its decoders do for a damaged file
        raise UsageError(f"{file} is not an image that Pillow reads: {first_line(problem)}") from None
    notes = [f"{file.name} turned as its EXIF tag says"] if is_turned else []
    notes += ["colours to grey as 0.299 R + 0.587 G + 0.114 B"] if grey else []
    wanted = (size[1] or pixels.width, size[0] or pixels.height)
    if pixels.size != wanted:
        here, there = (f"{width} x {height}" for width, height in (pixels.size, wanted))
        if not resize:
            raise UsageError(
                f"{file} is {here} pixels (width x height), the input takes {there}: --resize stretches it"
            )
        notes.append(f"{file.name} stretched from {here} to {there} pixels, bilinear with antialiasing")
        pixels = pixels.resize(wanted, Image.Resampling.BILINEAR)
    array = np.asarray(pixels)
    return np.moveaxis(array.reshape(*array.shape[:2], channels), -1, 0), ", ".join(notes)


def _check(file: Path, image: Any) -> None:
    """Raise UsageError for an image that is too large, or would lose something."""
    if image.width * image.height > _MOST_PIXELS:
        raise UsageError(
            f"{file} has {image.width * image.height:,} pixels, {_MOST_PIXELS:,} are read at most"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise UsageError(f"{file} holds {image.n_frames} images: give each as a file of its own")
    if image.mode not in _EXACT or "transparency" in image.info:
        kind = "transparency" if "transparency" in image.info or "A" in image.mode else f"mode {image.mode}"
        raise UsageError(
            f"{file} has {kind}: images are of 8 bits in RGB or grey, without transparency; convert it first"
        )


def _scaled(pixels: np.ndarray, dtype: DType) -> np.ndarray:
    if dtype is DType.UINT8:
        return np.ascontiguousarray(pixels)
    wide = np.float64 if dtype is DType.FLOAT64 else np.float32
    return (pixels.astype(wide) / wide(255)).astype(numpy_dtype(dtype))


def _size(array: np.ndarray) -> str:
    return f"{array.shape[2]} x {array.shape[1]}"
