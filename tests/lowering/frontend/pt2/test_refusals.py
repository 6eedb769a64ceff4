"""Each thing that is not read is refused in one sentence that names it."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowering.frontend import mapped_zip
from lowering.frontend.pt2 import ArchiveError, read
from lowering.frontend.pt2 import archive as archive_module

from .damage import CONSTANTS, MODEL, WEIGHTS, drop, entries, put, refusal, rewrite, sample, write

WEIGHT = ("config", "net.0.weight")


# ---------------------------------------------------------------------------------------------- the file


def test_missing_file(tmp_path: Path):
    assert "no such file" in refusal(tmp_path / "none.pt2")


def test_directory(tmp_path: Path):
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello, this is no archive", bytes(1000)])
def test_not_a_zip(tmp_path: Path, content: bytes):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    assert "not a .pt2 file" in refusal(path)


@pytest.mark.parametrize("keep", [5, 100, 5000, -1, -30])
def test_truncated(tmp_path: Path, keep: int):
    path = tmp_path / "model.pt2"
    path.write_bytes(sample("mlp").read_bytes()[:keep])
    assert "damaged or truncated" in refusal(path)


def test_empty_zip(tmp_path: Path):
    assert "is empty" in refusal(write(tmp_path / "m.pt2", {}))


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"data/aotinductor/model/x.so": b""}, "AOTInductor"),
        ({"serialized_exported_program.json": b"{}"}, "torch 2.8 or earlier"),
        ({"data.pkl": b"", "version": b"3"}, "torch.save"),
        ({"data.pkl": b"", "constants.pkl": b""}, "TorchScript"),
        ({"readme.txt": b"hi"}, "not an exported program"),
    ],
)
def test_other_archives(tmp_path: Path, contents: dict[str, bytes], words: str):
    assert words in refusal(write(tmp_path / "m.pt2", contents))


@pytest.mark.parametrize(
    ("entry", "content", "words"),
    [
        ("byteorder", b"big", "byte order is 'big'"),
        ("archive_format", b"pt3", "archive format is 'pt3'"),
        ("archive_version", b"1", "archive version is '1'"),
        ("archive_version", b"\xff\xfe", "archive version"),
        ("byteorder", b"little" * 100, "600 bytes"),
    ],
)
def test_formats_from_elsewhere(tmp_path: Path, entry: str, content: bytes, words: str):
    assert words in refusal(rewrite(sample("mlp"), tmp_path / "m.pt2", {entry: content}))


def test_several_models_are_named(tmp_path: Path):
    contents = entries(sample("mlp"))
    contents["models/other.json"] = contents[MODEL]
    path = write(tmp_path / "m.pt2", contents)
    assert "several models (model, other)" in refusal(path)
    assert "no model 'third'" in refusal(path, "third")
    assert "data/weights/other_weights_config.json is missing" in refusal(path, "other")


def test_an_entry_given_twice(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/byteorder", b"little")
    assert "two entries 'byteorder'" in refusal(path)


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mapped_zip, "MAX_ENTRIES", 3)
    assert "3 are allowed" in refusal(sample("mlp"))


def test_document_too_large(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive_module, "MAX_DOCUMENT", 1000)
    assert "1000 are allowed" in refusal(sample("mlp"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 10_000, "not JSON"),
        (b"[]", "schema_version"),
        (b"null", "schema_version"),
    ],
)
def test_malformed_json(tmp_path: Path, content: bytes, words: str):
    message = refusal(rewrite(sample("mlp"), tmp_path / "m.pt2", {MODEL: content}))
    assert MODEL in message
    assert words in message


def test_damaged_document(tmp_path: Path):
    """The zip's checksum tells."""
    data = sample("mlp").read_bytes().replace(b"aten.linear.default", b"aten.linear.defauIt")
    path = tmp_path / "m.pt2"
    path.write_bytes(data)
    assert f"{MODEL} is damaged" in refusal(path)


# --------------------------------------------------------------------------------------------- the weights

WEIGHT_EDITS: list[tuple[str, Callable[[Any], Any], str]] = [
    (
        "pickled",
        put(*WEIGHT, "use_pickle", value=True),
        "config['net.0.weight']: the weight is a pickle, as torch writes tensor subclasses",
    ),
    ("no type", put(*WEIGHT, "tensor_meta", value=None), "config['net.0.weight']: the weight has no type"),
    ("no payload", put(*WEIGHT, "path_name", value="weight_9"), "the entry data/weights/weight_9 is missing"),
    ("outside", put(*WEIGHT, "path_name", value="../../x"), "the entry data/weights/../../x is missing"),
    (
        "sparse",
        put(*WEIGHT, "tensor_meta", "layout", value=1),
        "the weight 'net.0.weight': the layout is sparse_coo",
    ),
    (
        "offset",
        put(*WEIGHT, "tensor_meta", "storage_offset", "as_int", value=1),
        "the weight 'net.0.weight': the view needs",
    ),
    (
        "stride",
        put(*WEIGHT, "tensor_meta", "strides", 0, "as_int", value=1 << 62),
        "the weight 'net.0.weight': the view needs",
    ),
    (
        "symbolic",
        put(
            *WEIGHT, "tensor_meta", "sizes", 0, value={"as_expr": {"expr_str": "Symbol('s0')", "hint": None}}
        ),
        "symbolic sizes",
    ),
    (
        "other size",
        put(*WEIGHT, "tensor_meta", "sizes", 0, "as_int", value=1),
        "in the graph, but its weight is",
    ),
    ("other dtype", put(*WEIGHT, "tensor_meta", "dtype", value=4), "but its weight is int32"),
    ("not listed", drop(*WEIGHT), "the parameter 'net.0.weight' has no weight"),
    ("no config", drop("config"), "the field 'config' is missing"),
]


@pytest.mark.parametrize(
    ("edit", "words"), [row[1:] for row in WEIGHT_EDITS], ids=[row[0] for row in WEIGHT_EDITS]
)
def test_weights(tmp_path: Path, edit: Callable[[Any], Any], words: str):
    message = refusal(rewrite(sample("mlp"), tmp_path / "m.pt2", {WEIGHTS: edit}))
    assert words in message, message


def test_missing_payload(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {"data/weights/weight_0": None})
    assert "data/weights/weight_0 is missing" in refusal(path)


def test_short_payload(tmp_path: Path):
    message = refusal(rewrite(sample("mlp"), tmp_path / "m.pt2", {"data/weights/weight_0": bytes(8)}))
    assert "the view needs" in message
    assert "has 8" in message


def test_an_empty_payload_has_no_values(tmp_path: Path):
    """As torch writes the weights of fake and meta tensors."""
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {"data/weights/weight_0": b""})
    _, weights = read(path)
    absent = {name for name, view in weights.views.items() if weights.storages[view.storage].absent}
    assert "net.0.weight" in absent


def test_weights_as_one_pickle(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {WEIGHTS: None, "data/weights/model.pt": b""})
    assert "one pickle" in refusal(path)


def test_a_weight_in_both_folders(tmp_path: Path):
    contents = entries(sample("mlp"))
    contents["data/constants/weight_0"] = contents["data/weights/weight_0"]
    config = json.loads(contents[WEIGHTS])
    contents[CONSTANTS] = json.dumps({"config": {"net.0.weight": config["config"]["net.0.weight"]}}).encode()
    assert "'net.0.weight' occurs twice" in refusal(write(tmp_path / "m.pt2", contents))


def test_a_payload_that_would_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mapped_zip, "MAX_INFLATED", 1 << 16)
    contents = entries(sample("mlp")) | {"data/weights/weight_0": bytes(1 << 20)}
    path = write(tmp_path / "m.pt2", contents, frozenset({"data/weights/weight_0"}))
    assert "claims to grow" in refusal(path)


def test_an_encrypted_payload(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {})
    data = bytearray(path.read_bytes())
    name = b"archive/data/weights/weight_0"
    directory = data.rindex(name) - 46
    data[directory + 8] |= 1
    path.write_bytes(data)
    assert "data/weights/weight_0 is encrypted" in refusal(path)


def test_a_payload_beyond_the_end(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {})
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"archive/data/weights/weight_0") - 46
    struct.pack_into("<II", data, directory + 20, 1 << 30, 1 << 30)
    path.write_bytes(data)
    assert "reaches beyond the end of the file" in refusal(path)


def test_a_payload_that_begins_nowhere(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {})
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"archive/data/weights/weight_1") - 46
    (offset,) = struct.unpack_from("<I", data, directory + 42)
    struct.pack_into("<I", data, directory + 42, offset + 1)
    path.write_bytes(data)
    assert "does not say where it begins" in refusal(path)


def test_a_file_that_is_gone_when_its_weights_are_mapped(tmp_path: Path):
    path = rewrite(sample("mlp"), tmp_path / "m.pt2", {})
    _, weights = read(path)
    storage = weights.storages["weights/weight_0"]
    path.write_bytes(b"")
    with pytest.raises(ArchiveError, match="the file has changed"):
        storage.open()
    path.unlink()
    with pytest.raises(ArchiveError, match="the file has changed"):
        storage.open()
