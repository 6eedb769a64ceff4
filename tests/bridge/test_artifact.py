"""Artifacts: the round trip, saving over what is there, who compiled what, and unusual weights."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

import bridge
from bridge import replacing, signing
from bridge.binaries import Binary
from bridge.errors import ArtifactError, UsageError
from bridge.lowered import Lowered
from bridge.manifest import digest
from lowering.host.weights import materialise
from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView
from tests.bridge.samples import NAMES, Counter, lowered


def _same(one: Lowered, other: Lowered) -> None:
    assert other.program == one.program
    assert other.functional == one.functional
    assert other.plan == one.plan
    assert other.modules == one.modules
    assert other.binaries == one.binaries
    assert other.not_functional == one.not_functional
    assert other.weights.views.keys() == one.weights.views.keys()
    _same_weights(one.weights, other.weights)


def _same_weights(one: Weights, other: Weights) -> None:
    before, after = materialise(one, one.views), materialise(other, one.views)
    for name, array in before.items():
        assert after[name].dtype == array.dtype, name
        assert after[name].shape == array.shape, name
        assert after[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("name", NAMES)
def test_a_round_trip_is_the_identity(name: str, tmp_path: Path) -> None:
    saved = lowered(name).save(tmp_path / "a.bridge")
    loaded = bridge.load(saved)
    _same(lowered(name), loaded)
    again = loaded.save(tmp_path / "b.bridge")
    names = sorted(file.relative_to(saved) for file in saved.rglob("*"))
    assert names == sorted(file.relative_to(again) for file in again.rglob("*"))
    for file in names:
        if (saved / file).is_file():
            assert (saved / file).read_bytes() == (again / file).read_bytes(), file


def test_an_artifact_can_be_saved_over_itself(tmp_path: Path) -> None:
    path = lowered("tied_embedding").save(tmp_path / "a.bridge")
    loaded = bridge.load(path)
    loaded.save(path)
    _same(lowered("tied_embedding"), loaded)
    _same(lowered("tied_embedding"), bridge.load(path))
    assert os.listdir(tmp_path) == ["a.bridge"]


def test_a_save_goes_where_a_link_points(tmp_path: Path) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")
    (tmp_path / "link.bridge").symlink_to(path)
    lowered("norms").save(tmp_path / "link.bridge")
    assert (tmp_path / "link.bridge").is_symlink()
    assert bridge.load(path).program == lowered("norms").program


def test_a_failed_save_leaves_the_old_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lowered("mlp").save(tmp_path / "a.bridge")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bridge.weight_files.write_irpa", full)
        with pytest.raises(ArtifactError, match=r"cannot write .*a\.bridge: No space left on device"):
            lowered("norms").save(path)
    rename, calls = os.rename, []

    def rename_but_the_third(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(replacing, "_rename", None)  # a file system that cannot exchange
        patch.setattr(os, "rename", rename_but_the_third)
        with pytest.raises(ArtifactError, match="Input/output error"):
            lowered("norms").save(path)
    assert len(calls) == 4
    _same(lowered("mlp"), bridge.load(path))
    assert os.listdir(tmp_path) == ["a.bridge"]


def test_what_is_no_artifact_is_not_replaced(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (folder, file, tmp_path / "dangling"):
        with pytest.raises(UsageError, match="exists and is not an artifact; give another path or remove it"):
            lowered("mlp").save(path)
    with pytest.raises(UsageError, match=r"cannot write .*: .*file is not a folder"):
        lowered("mlp").save(file / "below" / "a.bridge")
    assert file.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "folder"]


def test_concurrent_saves_leave_one_whole_artifact(tmp_path: Path) -> None:
    code = """
import sys
import bridge
from tests.bridge.samples import path_of
lowered = bridge.lower(path_of(sys.argv[1]))
for _ in range(15):
    lowered.save(sys.argv[2])
"""
    names = ("mlp", "norms", "tree")
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen([*command, name, tmp_path / "a.bridge"]) for name in names]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert bridge.load(tmp_path / "a.bridge").program in [lowered(name).program for name in names]
    assert os.listdir(tmp_path) == ["a.bridge"]


def _strided() -> Weights:
    """One storage with overlapping views, tied names, and storages of every unusual kind."""
    raw = np.arange(64, dtype=np.float32)
    half = np.arange(6).astype(ml_dtypes.bfloat16)
    wide = np.array([1 + 2j, -0.0 + 1j], np.complex128)
    arrays = {"a": raw, "half": half, "wide": wide, "one": np.array(7, np.int64), "none": np.zeros(0, bool)}
    arrays["float8"] = np.arange(8).astype(ml_dtypes.float8_e4m3fn)
    storages = {key: _storage(array) for key, array in arrays.items()}
    views = {
        "whole": WeightView("a", DType.FLOAT32, (8, 8), (8, 1)),
        "tied": WeightView("a", DType.FLOAT32, (8, 8), (8, 1)),
        "transposed": WeightView("a", DType.FLOAT32, (8, 8), (1, 8)),
        "part": WeightView("a", DType.FLOAT32, (2, 3), (16, 2), 5),
        "spread": WeightView("a", DType.FLOAT32, (4, 4), (0, 1), 60),
        "bits": WeightView("a", DType.INT32, (64,), (1,)),
        "half.x": WeightView("half", DType.BFLOAT16, (2, 3), (3, 1)),
        "storage/a": WeightView("wide", DType.COMPLEX128, (2,), (1,)),
        "scalar": WeightView("one", DType.INT64, (), ()),
        "empty": WeightView("none", DType.BOOL, (0, 5), (5, 1)),
        "float8": WeightView("float8", DType.FLOAT8_E4M3FN, (8,), (1,)),
        "the same float8": WeightView("float8", DType.FLOAT8_E4M3FN, (8,), (1,)),
    }
    return Weights(storages, views)


def _storage(array: np.ndarray) -> Storage:
    raw = array.reshape(-1).view(np.uint8)
    return Storage(raw.nbytes, lambda: raw)


def test_unusual_weights_survive(tmp_path: Path) -> None:
    plain = lowered("mlp")
    strided = _strided()
    storages = {**plain.weights.storages, **strided.storages}
    weights = Weights(storages, {**plain.weights.views, **strided.views})
    lower = Lowered(plain.program, plain.functional, plain.plan, weights)
    loaded = bridge.load(lower.save(tmp_path / "a.bridge"))
    _same_weights(weights, loaded.weights)
    views = loaded.weights.views
    shared = {views[n].storage for n in ("whole", "tied", "transposed", "part", "spread", "bits")}
    assert len(shared) == 1, "views of one storage are views of one storage"
    assert views["transposed"].strides == (1, 8)
    assert views["float8"] == views["the same float8"]


def test_complex32_weights_survive_as_bytes(tmp_path: Path) -> None:
    plain = lowered("mlp")
    view = WeightView("c", DType.COMPLEX32, (3,), (1,))
    raw = np.arange(12, dtype=np.uint8)
    storages = {**plain.weights.storages, "c": Storage(12, lambda: raw)}
    weights = Weights(storages, {**plain.weights.views, "c": view})
    loaded = bridge.load(Lowered(plain.program, plain.functional, plain.plan, weights).save(tmp_path / "a"))
    kept = loaded.weights.views["c"]
    assert (kept.dtype, kept.sizes) == (DType.COMPLEX32, (3,))
    assert loaded.weights.storages[kept.storage].open().tobytes() == raw.tobytes()


def test_buffers_are_saved_as_they_began(tmp_path: Path) -> None:
    lower = bridge.lower(Counter(), (torch.ones(3),))
    compiled = lower.compile("aten")
    compiled(torch.ones(3))
    compiled(torch.ones(3))
    again = bridge.load(lower.save(tmp_path / "a.bridge")).compile("aten")
    assert again(torch.ones(3))["sum"].tolist() == [1.0, 1.0, 1.0]
    assert again.buffers["total"].tolist() == [1.0, 1.0, 1.0]


# ------------------------------------------------------------------------------------- whose binaries


def _with_binary(path: Path) -> Path:
    plain = lowered("mlp")
    binaries = {
        "0" * 64: Binary("iree", "1", "cpu", b"machine code"),
        "1" * 64: Binary("xla", "2", "cpu", b"x"),
    }
    copy = Lowered(plain.program, plain.functional, plain.plan, plain.weights, binaries=binaries)
    return copy.save(path)


def test_binaries_of_this_user_are_taken(tmp_path: Path) -> None:
    loaded = bridge.load(_with_binary(tmp_path / "a.bridge"))
    assert loaded.binaries["0" * 64] == Binary("iree", "1", "cpu", b"machine code")
    assert loaded.set_aside == ()


def test_binaries_of_others_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "stranger"))
    path = _with_binary(tmp_path / "a.bridge")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "me"))
    for _ in range(2):  # whether or not this user has a key
        loaded = bridge.load(path)
        assert loaded.binaries == {}
        assert loaded.set_aside == ("0" * 64, "1" * 64)
        assert len(bridge.load(path, trust=True).binaries) == 2
        signing.sign({})
    loaded.save(path)
    assert bridge.load(path, trust=True).binaries == {}


def test_a_signature_covers_the_code_and_its_name() -> None:
    signed = signing.sign({"binaries/a": "1", "binaries/b": "2"})
    assert signing.is_ours({"binaries/b": "2", "binaries/a": "1"}, signed)
    for other in ({"binaries/a": "1"}, {"binaries/a": "2", "binaries/b": "1"}, {}):
        assert not signing.is_ours(other, signed)
    for wrong in ("", None, 3, "é", signed[:-1], signed.upper()):
        assert not signing.is_ours({"binaries/a": "1", "binaries/b": "2"}, wrong)


def test_the_key_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    code = signing.sign({"x": "1"})
    key = tmp_path / "bridge" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert os.listdir(key.parent) == ["key"]
    assert signing.sign({"x": "1"}) == code
    key.chmod(0o644)
    assert not signing.is_ours({"x": "1"}, code), "a key that others can read proves nothing"


def test_without_a_place_for_a_key_nothing_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert signing.sign({"x": "1"}) == ""
    assert not signing.is_ours({"x": "1"}, "")
    assert bridge.load(_with_binary(tmp_path / "a.bridge")).set_aside


def test_long_files_have_one_digest(tmp_path: Path) -> None:
    import hashlib

    content = np.random.default_rng(0).bytes((8 << 20) * 2 + 12345)
    (tmp_path / "long").write_bytes(content)
    chunks = [content[i : i + (8 << 20)] for i in range(0, len(content), 8 << 20)]
    joined = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
    assert digest(tmp_path / "long") == hashlib.sha256(joined).hexdigest()
    (tmp_path / "short").write_bytes(content[:100])
    assert digest(tmp_path / "short") == hashlib.sha256(content[:100]).hexdigest()
