"""Damaged and doctored artifacts: each is refused by an ArtifactError that names the file."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge import manifest
from bridge.binaries import Binary
from bridge.errors import ArtifactError
from bridge.lowered import Lowered
from bridge.manifest import MANIFEST, digest
from lowering.host.irpa import write_irpa
from tests.bridge.samples import lowered


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with every kind of file."""
    plain = lowered("cached_attention")
    binaries = {"a" * 64: Binary("iree", "1", "cpu", b"code")}
    rest = (plain.weights, "", True, plain.modules, binaries)
    assert plain.functional is not plain.program
    path = Lowered(plain.program, plain.functional, plain.plan, *rest).save(
        tmp_path_factory.mktemp("artifact") / "a.bridge"
    )
    bridge.load(path)
    return path


@pytest.fixture
def artifact(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "a.bridge"))


def _refusal(artifact: Path) -> str:
    """What `load` refuses the artifact with, or the empty string."""
    try:
        bridge.load(artifact)
    except ArtifactError as error:
        return str(error)
    return ""


FILES = (
    "manifest.json",
    "program.json",
    "functional.json",
    "plan.json",
    "modules.json",
    "weights.json",
    "weights.irpa",
    "modules/segment_0.mlirbc",
    "modules/segment_0_checks.mlirbc",
    f"binaries/{'a' * 64}.bin",
)


def _flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def _truncate(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


def _extend(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + rng.randbytes(1))


def _delete(file: Path, rng: random.Random) -> None:
    file.unlink()


def _link(file: Path, rng: random.Random) -> None:
    other = file.parent.parent.parent / "elsewhere"
    file.rename(other)
    file.symlink_to(other)


def _folder(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [_flip, _truncate, _extend, _delete, _link, _folder])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_refused(name: str, damage: Callable[[Path, random.Random], None], artifact: Path) -> None:
    rng = random.Random(f"{name} {damage.__name__}")
    damage(artifact / name, rng)
    if name == MANIFEST and damage in (_flip, _extend):
        return  # the next test: a flipped bit in the text that says who made it damages nothing
    with pytest.raises(ArtifactError) as caught:
        bridge.load(artifact)
    assert name in str(caught.value)


def test_a_flipped_bit_in_the_manifest_is_refused_or_harmless(artifact: Path) -> None:
    rng = random.Random(1)
    before = (artifact / MANIFEST).read_bytes()
    refused = 0
    for _ in range(150):
        _flip(artifact / MANIFEST, rng)
        message = _refusal(artifact)
        if message:
            refused += 1
            assert str(artifact) in message
        else:
            assert bridge.load(artifact).program == lowered("cached_attention").program
        (artifact / MANIFEST).write_bytes(before)
    assert refused > 75


def test_a_linked_folder_is_refused(artifact: Path) -> None:
    (artifact / "modules").rename(artifact.parent / "modules")
    (artifact / "modules").symlink_to(artifact.parent / "modules")
    with pytest.raises(ArtifactError, match=r"segment_0\.mlirbc is or lies behind a symbolic link"):
        bridge.load(artifact)


def test_files_that_nobody_lists_are_not_read(artifact: Path) -> None:
    (artifact / "binaries" / f"{'b' * 64}.bin").write_bytes(b"foreign code")
    (artifact / "notes.txt").write_text("mine")
    assert set(bridge.load(artifact, trust=True).binaries) == {"a" * 64}


def edit(artifact: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place, and the manifest so that its checksum holds."""
    data = json.loads((artifact / name).read_bytes())
    change(data)
    _write(artifact, name, data)


def _write(artifact: Path, name: str, data: Any) -> None:
    (artifact / name).write_text(json.dumps(data))
    if name != MANIFEST:
        reseal(artifact, name)


def reseal(artifact: Path, name: str) -> None:
    file = artifact / name
    row = {"bytes": file.stat().st_size, "digest": digest(file)}
    edit(artifact, MANIFEST, lambda data: data["files"].update({name: row}))


@pytest.mark.parametrize(
    "name",
    [
        "../../secret",
        "/etc/passwd",
        "modules/../../x.mlirbc",
        "modules/segment_0.mlirbc/",
        "binaries/../program.json",
        "binaries/evil.so",
        "",
        ".",
        "x\x00y",
        "program.json\n",
    ],
)
def test_names_outside_the_artifact_are_refused(name: str, artifact: Path) -> None:
    edit(artifact, MANIFEST, lambda data: data["files"].update({name: {"bytes": 0, "digest": ""}}))
    with pytest.raises(ArtifactError, match=r"manifest\.json names .*, which is not a file of an artifact"):
        bridge.load(artifact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("format"), "is not the manifest"),
        (lambda data: data.update(format=3), "says format 3, this version reads 2; lower the model again"),
        (lambda data: data.update(format=True), "is not the manifest"),
        (lambda data: data.update(files=[]), "lists no files"),
        (lambda data: data["files"].update({"plan.json": 3}), "lists no files"),
        (lambda data: data["files"]["plan.json"].update(bytes="3"), "lists no files"),
        (lambda data: data["files"].pop("plan.json"), r"does not list plan\.json"),
        (lambda data: data["files"].pop("modules/segment_0.mlirbc"), r"does not list modules/segment_0"),
        (lambda data: data["methods"][""].pop("binaries"), "does not describe the binaries"),
        (
            lambda data: data["methods"][""].update(binaries={"a": ["iree", "1", "cpu"]}),
            r"does not list binaries/a\.bin",
        ),
        (
            lambda data: data["methods"][""].update(binaries={"a" * 64: ["iree", 1, "cpu"]}),
            "does not describe the binaries",
        ),
        (lambda data: data["methods"][""].update(not_functional=3), "is not the manifest"),
        (lambda data: data.pop("methods"), "is not the manifest"),
    ],
)
def test_a_doctored_manifest_is_refused(change: Callable[[Any], Any], message: str, artifact: Path) -> None:
    edit(artifact, MANIFEST, change)
    with pytest.raises(ArtifactError, match=message) as caught:
        bridge.load(artifact)
    assert MANIFEST in str(caught.value)


def test_a_signature_does_not_move_to_other_code(artifact: Path) -> None:
    assert bridge.load(artifact).binaries
    name = f"binaries/{'a' * 64}.bin"
    (artifact / name).write_bytes(b"evil")
    reseal(artifact, name)
    loaded = bridge.load(artifact)
    assert loaded.binaries == {}
    assert loaded.set_aside == ("a" * 64,)


def test_huge_and_deep_json_is_refused(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (artifact / "plan.json").write_text("[" * 200_000 + "]" * 200_000)
    reseal(artifact, "plan.json")
    with pytest.raises(ArtifactError, match=r"plan\.json is not what this version writes"):
        bridge.load(artifact)
    monkeypatch.setattr(manifest, "MAX_JSON_BYTES", 200_000)
    with pytest.raises(ArtifactError, match=r"plan\.json has more than 200000 bytes"):
        bridge.load(artifact)
    monkeypatch.setattr(manifest, "MAX_JSON_BYTES", 100)
    with pytest.raises(ArtifactError, match=r"program\.json would have \d+ bytes, the limit is 100"):
        lowered("mlp").save(artifact.parent / "b.bridge")
    assert sorted(os.listdir(artifact.parent)) == ["a.bridge"]


def test_parts_that_do_not_fit_together_are_refused(artifact: Path) -> None:
    before = {name: (artifact / name).read_bytes() for name in FILES}

    def refused(name: str, change: Callable[[Any], Any], message: str) -> None:
        edit(artifact, name, change)
        with pytest.raises(ArtifactError, match=message):
            bridge.load(artifact)
        for file, content in before.items():
            (artifact / file).write_bytes(content)

    weight = next(iter(json.loads(before["weights.json"])))
    refused("weights.json", lambda data: data.pop(weight), f"the weight '{weight}' is missing")
    refused(
        "weights.json", lambda data: data[weight].__setitem__(2, [1]), "is not of the type that the program"
    )
    refused("weights.json", lambda data: data[weight].__setitem__(4, 10**9), "past the end of its storage")
    refused("weights.json", lambda data: data[weight].__setitem__(4, -8), "has no sizes, strides and offset")
    refused("weights.json", lambda data: data[weight].__setitem__(0, "?"), r"weights\.json .*it has no '\?'")
    refused("plan.json", lambda data: data["segments"][0]["nodes"].pop(), "makes? the output|says it makes")
    refused("plan.json", lambda data: data["segments"][0]["nodes"].append("ghost"), "'ghost', which does not")
    refused("plan.json", lambda data: data["segments"][0]["inputs"].append("ghost"), "reads 'ghost'")
    refused("plan.json", lambda data: data["segments"][0].update(placement="aten"), "does not say why")
    refused("plan.json", lambda data: data["segments"].clear(), "no segment of the plan makes the output")
    refused("modules.json", lambda data: data[0].update(segment=7), r"does not list modules/segment_7")
    refused("modules.json", lambda data: data[0]["in"].pop(), "other values than its segment")
    refused("modules.json", lambda data: data[0]["in"][0][2].append(2), "another type for")
    refused("modules.json", lambda data: data[0]["out"][0].__setitem__(1, "float64"), "another type for")
    ports = json.loads(before["modules.json"])[0]["in"]
    stored = next(i for i, port in enumerate(ports) if port[3] is not None)
    refused(
        "modules.json", lambda data: data[0]["in"][stored].__setitem__(3, "ghost"), "has the weight 'ghost'"
    )
    taken, made = ports[stored][0], json.loads(before["modules.json"])[0]["out"][0][0]
    refused(
        "modules.json",
        lambda data: data[0]["donated"].append([taken, made]),
        "overwrites a value that is not a buffer",
    )
    refused("modules.json", lambda data: data[0]["donated"].append(["?", 1]), "names no input and output")
    refused("modules.json", lambda data: data[0].update(preflight=["ghost"]), r"it has no 'ghost'")
    refused("modules.json", lambda data: data[0].update(preflight=None), "no module for its checks before")
    refused("modules.json", lambda data: data[0].update(donated=[]), "or has one for nothing")
    refused("modules.json", lambda data: data[0].pop("donated"), "it has no 'donated'")


_STRANGE = (
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    "x",
    "../x",
    [],
    [None],
    {},
    {"ref": "x"},
    [[[]]],
    "float32",
    "\ud800",
)


def _mutate(data: Any, rng: random.Random) -> Any:
    """The same with one value, anywhere in it, replaced, dropped or doubled."""
    if not isinstance(data, list | dict) or not data or rng.random() < 0.1:
        return rng.choice(_STRANGE)
    key = rng.choice(list(data) if isinstance(data, dict) else range(len(data)))
    if rng.random() < 0.1:
        del data[key]
    elif rng.random() < 0.05 and isinstance(data, list):
        data.append(data[key])
    else:
        data[key] = _mutate(data[key], rng)
    return data


@pytest.mark.parametrize(
    "name", ["program.json", "functional.json", "plan.json", "modules.json", "weights.json", MANIFEST]
)
def test_wrong_values_in_json_never_crash(name: str, artifact: Path) -> None:
    rng = random.Random(name)
    before = {file: (artifact / file).read_bytes() for file in FILES}
    refused = 0
    for _ in range(120):
        _write(artifact, name, _mutate(json.loads(before[name]), rng))
        message = _refusal(artifact)
        refused += bool(message)
        assert not message or str(artifact) in message
        assert "\n" not in message
        for file, content in before.items():
            (artifact / file).write_bytes(content)
    assert refused > 40


def test_a_doctored_weight_archive_never_crashes(artifact: Path) -> None:
    rng = random.Random(5)
    file = artifact / "weights.irpa"
    before, listed = file.read_bytes(), (artifact / MANIFEST).read_bytes()
    refused = 0
    for _ in range(150):
        content = bytearray(before)
        at = rng.randrange(min(len(content), 1500))
        content[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), rng.randbytes(8)])
        file.write_bytes(content)
        reseal(artifact, "weights.irpa")
        message = _refusal(artifact)
        refused += bool(message)
        assert not message or str(artifact) in message
        (artifact / MANIFEST).write_bytes(listed)
    assert refused > 40


def test_an_archive_without_the_weights_is_refused(artifact: Path) -> None:
    write_irpa(artifact / "weights.irpa", {})
    reseal(artifact, "weights.irpa")
    with pytest.raises(ArtifactError, match=r"weights\.json is not what this version writes: it has no"):
        bridge.load(artifact)


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.pt2").write_bytes(b"PK")
    for name, message in (
        ("nothing", "does not exist"),
        ("empty", r"is not an artifact: it has no manifest\.json; make one with `lower`"),
        ("file.pt2", r"is a file, and an artifact is a folder; bridge\.lower reads \.pt2 files"),
    ):
        with pytest.raises(ArtifactError, match=f"{name} {message}"):
            bridge.load(tmp_path / name)
