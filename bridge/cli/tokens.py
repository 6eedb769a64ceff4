"""Token files: integers as text or JSON, for an integer input of rank 1 or 2."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import UsageError, first_line
from lowering.host.tensors import numpy_dtype
from lowering.ir.text import print_type
from lowering.ir.types import TensorType

SUFFIXES = frozenset((".txt", ".json"))
_MOST_BYTES = 1 << 26
_LONGEST_SHOWN = 30
# No dtype holds more digits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")


def read_tokens(file: Path, name: str, type_: Any) -> np.ndarray:
    """The integers of a file in the input's dtype.

    Text has integers with spaces or commas between them. Of an input of rank 2 each line that is not empty is
    a row; one of rank 1 has all. JSON is a list of integers, or of lists of integers. A single list is one
    row of an input of rank 2. Nothing is padded.

    Raises UsageError for an input of another type, rows that differ in length, and what is not an integer of
    the dtype.
    """
    if not isinstance(type_, TensorType) or type_.rank not in (1, 2) or not type_.dtype.is_integer:
        raise UsageError(
            f"input {name} is {print_type(type_)}, and a file of tokens is for integers of rank 1 or 2: "
            "give a .npy"
        )
    read = _of_json if file.suffix.lower() == ".json" else _of_text
    return _array(file, read(file, _text(file), type_.rank), type_)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise UsageError(f"cannot read {file}: {problem.strerror or problem}") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{file} has more than {_MOST_BYTES >> 20} MiB: give a .npy")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not text: a file of tokens is UTF-8") from None


def _of_text(file: Path, text: str, rank: int) -> list[list[int]]:
    rows: list[list[int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace(",", " ").split()
        wrong = next((word for word in words if not _INTEGER.fullmatch(word)), None)
        if wrong is not None:
            raise UsageError(f"{file}, line {number}: {_cut(wrong)!r} is not an integer")
        if words:
            rows.append([int(word) for word in words])
    return [[token for row in rows for token in row]] if rank == 1 else rows


def _of_json(file: Path, text: str, rank: int) -> list[list[int]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{file} is not JSON: {first_line(problem)}") from None
    if not isinstance(data, list):
        raise UsageError(f"{file} is not a list of integers, nor a list of such lists")
    rows = data if rank == 2 and any(isinstance(row, list) for row in data) else [data]
    takes = "integers" if rank == 1 else "integers, or of lists of these"
    for row in rows:
        odd = [item for item in row if type(item) is not int] if isinstance(row, list) else [row]
        if odd:
            place = f"{_cut(repr(odd[0]))} is not in its place"
            raise UsageError(f"{file}: {place}: the input takes a list of {takes}")
    return rows


def _array(file: Path, rows: list[list[int]], type_: TensorType) -> np.ndarray:
    lengths = [len(row) for row in rows]
    other = next((index for index, length in enumerate(lengths) if length != lengths[0]), None)
    if other is not None:
        raise UsageError(
            f"{file}: row {other} has {lengths[other]} tokens, row 0 has {lengths[0]}: pad them to one length"
        )
    dtype = numpy_dtype(type_.dtype)
    bounds = np.iinfo(dtype)
    for row in rows:
        wrong = next((token for token in row if not bounds.min <= token <= bounds.max), None)
        if wrong is not None:
            raise UsageError(f"{file}: {_cut(str(wrong))} does not fit into {type_.dtype}")
    array = np.array(rows, dtype).reshape(len(rows), lengths[0] if lengths else 0)
    return array[0] if type_.rank == 1 else array


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
