"""Token files: integers of an input of rank 1 or 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.cli.tokens import read_tokens
from bridge.errors import UsageError
from lowering.ir.types import DType, TensorType


def of(*sizes: int, dtype: DType = DType.INT64) -> TensorType:
    return TensorType(dtype, sizes, sizes)


MATRIX, ROW = of(2, 3), of(3)


@pytest.mark.parametrize(
    ("name", "text", "type_", "wanted"),
    [
        ("a.txt", "1 2 3\n\n4, 5,6\n", MATRIX, [[1, 2, 3], [4, 5, 6]]),
        ("a.txt", "\ufeff1 2\n3", ROW, [1, 2, 3]),
        ("a.txt", "-1 +2", of(1, 2), [[-1, 2]]),
        ("a.txt", "", ROW, []),
        ("a.TXT", "7", of(1, dtype=DType.UINT8), [7]),
        ("a.json", "[1, 2, 3]", ROW, [1, 2, 3]),
        ("a.json", "[1, 2, 3]", MATRIX, [[1, 2, 3]]),
        ("a.json", "[[1, 2], [3, 4]]", MATRIX, [[1, 2], [3, 4]]),
        ("a.json", "[18446744073709551615]", of(1, dtype=DType.UINT64), [2**64 - 1]),
    ],
)
def test_integers(tmp_path: Path, name: str, text: str, type_: TensorType, wanted: list[object]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    array = read_tokens(tmp_path / name, "ids", type_)
    assert array.dtype.name == type_.dtype.value
    assert array.tolist() == wanted
    assert array.ndim == type_.rank


@pytest.mark.parametrize(
    ("name", "text", "type_", "words"),
    [
        ("a.txt", "1 2\n3", MATRIX, "row 1 has 1 tokens, row 0 has 2: pad them to one length"),
        ("a.txt", "1 2\n3 x", MATRIX, "line 2: 'x' is not an integer"),
        ("a.txt", "1_0", ROW, "'1_0' is not an integer"),
        ("a.txt", "1.0", ROW, "'1.0' is not an integer"),
        ("a.txt", "9" * 5000, ROW, "is not an integer"),
        ("a.txt", "300", of(1, dtype=DType.UINT8), "300 does not fit into uint8"),
        ("a.json", "[1, 2", ROW, "is not JSON"),
        ("a.json", "[" * 100000, ROW, "is not JSON"),
        ("a.json", "9" * 5000, ROW, "is not JSON"),
        ("a.json", '{"a": 1}', ROW, "is not a list of integers"),
        ("a.json", "[[1, 2]]", ROW, r"\[1, 2\] is not in its place: the input takes a list of integers"),
        ("a.json", "[[1, 2], 3]", MATRIX, "3 is not in its place: .* or of lists of these"),
        ("a.json", "[true]", ROW, "True is not in its place"),
        ("a.json", "[null]", ROW, "None is not in its place"),
        ("a.json", "[1.0]", ROW, "1.0 is not in its place"),
        ("a.json", "[[], [1]]", MATRIX, "row 1 has 1 tokens, row 0 has 0"),
        ("a.txt", "1", of(1, 1, 1), "a file of tokens is for integers of rank 1 or 2"),
        ("a.txt", "1", of(1, dtype=DType.FLOAT32), "input ids is f32"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, text: str, type_: TensorType, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_tokens(tmp_path / name, "ids", type_)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_files_that_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.txt: No such file"):
        read_tokens(tmp_path / "none.txt", "ids", ROW)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(UsageError, match="is not text"):
        read_tokens(tmp_path / "a.txt", "ids", ROW)
    monkeypatch.setattr("bridge.cli.tokens._MOST_BYTES", 1 << 20)
    (tmp_path / "a.txt").write_bytes(b"1 " * (1 << 20))
    with pytest.raises(UsageError, match="has more than 1 MiB"):
        read_tokens(tmp_path / "a.txt", "ids", ROW)
    assert np.array_equal(read_tokens(_of(tmp_path, "1 2 3"), "ids", ROW), [1, 2, 3])


def _of(folder: Path, text: str) -> Path:
    (folder / "b.txt").write_text(text)
    return folder / "b.txt"
