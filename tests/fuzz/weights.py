"""Damaged files of weights through reading, binding and a call: `python -m tests.fuzz.weights --cases 10000`.

A case is a `.safetensors` or `.pt` file, a folder of either with its index, or an artifact's archive, changed
under a manifest that agrees with it. Pickles are changed by their opcodes, and some are written by hand.
"""

from __future__ import annotations

import json
import pickletools
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import bridge
from bridge.given_weights import read_weights, with_weights
from bridge.manifest import MANIFEST
from lowering.host.weights import materialise, torch_weights
from tests.bridge.samples import lowered
from tests.fuzz.artifacts import agreeing
from tests.fuzz.campaign import Campaign, attempt
from tests.fuzz.mutations import damaged_bytes, damaged_json, damaged_zip

Files = dict[str, bytes]

_PROGRAM = "mlp"
_ARCHIVE = "weights.irpa"
_EDGES = (0, 1, 63, 64, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_NAMES = ("../model-0.bin", "/etc/passwd", "x/y", "", ".", "..", "a\0b", "\ud800", "x" * 5000)
_DTYPES = ("F32", "F64", "F16", "I64", "BOOL", "U8", "F4", "F6_E2M3", "C64", "X", "")


def make(number: int) -> bytes:
    """The files of a case, as a zip; the first one's name says which kind it is."""
    rng = random.Random(number)
    kind = rng.choice(list(_samples()))
    files = _CHANGES[kind](dict(_samples()[kind]), rng)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"kind {kind}", "")
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def act(content: bytes) -> str:
    """Bind the weights to their program, read all of them, and go on as `attempt` does."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            first, *_ = names = archive.namelist()
            archive.extractall(folder)
        kind = first.removeprefix("kind ")
        path = Path(folder) if kind in _FOLDERS else Path(folder, names[1])
        return attempt(lambda: _bound(path, kind))


def _bound(path: Path, kind: str) -> bridge.Lowered:
    weights = read_weights(path)
    try:
        materialise(weights, weights.views)
        torch_weights(weights, weights.views)
    except bridge.BridgeError:
        if kind == "archive":
            raise
    return bridge.load(path) if kind == "archive" else with_weights(lowered(_PROGRAM), weights)


_FOLDERS = ("folder of safetensors", "folder of pickles", "archive")


@cache
def _samples() -> Mapping[str, Files]:
    """By kind, the files of a case that is right."""
    program = lowered(_PROGRAM)
    named = {n: x.clone() for n, x in torch_weights(program.weights, program.weights.views).items()}
    halves = [dict(list(named.items())[at::2]) for at in range(2)]
    tensors = {f"model-{at}.safetensors": save(half) for at, half in enumerate(halves)}
    pickles = {f"model-{at}.bin": _pickled(half) for at, half in enumerate(halves)}
    with tempfile.TemporaryDirectory() as folder:
        path = program.save(Path(folder, "a"))
        artifact = {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    return {
        "safetensors": {"m.safetensors": save(named)},
        "pickle": {"m.pt": _pickled({"state_dict": named, "step": 3})},
        "old pickle": {"m.pt": _pickled(named, new=False)},
        "folder of safetensors": {"model.safetensors.index.json": _index(tensors, halves), **tensors},
        "folder of pickles": {"pytorch_model.bin.index.json": _index(pickles, halves), **pickles},
        "archive": artifact,
    }


def _pickled(value: Any, new: bool = True) -> bytes:
    out = BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=new)
    return out.getvalue()


def _index(files: Files, parts: list[dict[str, torch.Tensor]]) -> bytes:
    placed = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}).encode()


def _changed_file(change: Callable[[bytes, random.Random], bytes]) -> Callable[[Files, random.Random], Files]:
    def changed(files: Files, rng: random.Random) -> Files:
        ((name, content),) = files.items()
        return {name: change(content, rng)}

    return changed


def _changed_folder(
    change: Callable[[bytes, random.Random], bytes],
) -> Callable[[Files, random.Random], Files]:
    def changed(files: Files, rng: random.Random) -> Files:
        index, *parts = files
        part = rng.choice(parts)
        if rng.random() < 0.4:
            return {**files, part: change(files[part], rng)}
        if rng.random() < 0.2:
            del files[part]
            return files
        table = json.loads(files[index])
        if rng.random() < 0.5:
            placed = table["weight_map"]
            name = rng.choice(list(placed))
            placed[name] = rng.choice(
                ("../model-0.bin", "/etc/passwd", "x/y", "", ".", "..", index, "\0", part)
            )
        else:
            table = damaged_json(table, rng)
        return {**files, index: json.dumps(table).encode()}

    return changed


def _safetensors(content: bytes, rng: random.Random) -> bytes:
    """The table of a file of safetensors changed, or its bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    table, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    row = table[rng.choice([name for name in table if name != "__metadata__"])]
    match rng.randrange(6):
        case 0:
            row["dtype"] = rng.choice(_DTYPES)
        case 1:
            row["shape"] = [rng.choice((-1, 0, 1, 3, *_EDGES)) for _ in range(rng.choice((0, 1, 2, 3, 70)))]
        case 2:
            row["data_offsets"] = [rng.choice((-1, 0, len(data), len(data) + 1, *_EDGES)) for _ in range(2)]
        case 3 if row["shape"]:
            row["shape"] = [*row["shape"][:-1], row["shape"][-1] + rng.choice((-1, 1))]
        case _:
            table = damaged_json(table, rng)
    text = json.dumps(table)
    if rng.random() < 0.1:
        text = text[:-1] + "," + text[1:]  # each name twice
    encoded = text.encode("utf-8", "replace")
    said = len(encoded) if rng.random() < 0.9 else rng.choice(_EDGES)
    return said.to_bytes(8, "little") + encoded + data


def _torch_file(content: bytes, rng: random.Random) -> bytes:
    """A zip of torch's with another pickle, other entries, or other bytes."""
    kind = rng.random()
    if kind < 0.15:
        return damaged_zip(content, rng)
    if kind < 0.25:
        return damaged_bytes(content, rng)
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as made:
        chosen = rng.choice(archive.namelist()) if kind < 0.4 else "data.pkl"
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith("data.pkl") and chosen == "data.pkl":
                data = _pickle(data, rng)
            elif info.filename == chosen:
                data = damaged_bytes(data, rng) if rng.random() < 0.7 else data[: len(data) // 2]
            made.writestr(info.filename, data)
    return out.getvalue()


def _pickle(data: bytes, rng: random.Random) -> bytes:
    """Opcodes dropped, doubled, moved; numbers and texts changed; or a pickle written by hand."""
    if rng.random() < 0.15:
        return rng.choice(BY_HAND)
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    starts = [at for _, _, at in pickletools.genops(data) if at is not None]
    ops = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(ops))
        match rng.randrange(5):
            case 0:
                del ops[at]
            case 1:
                ops.insert(at, rng.choice(ops))
            case 2:
                ops[at] = rng.choice(ops)
            case 3:
                ops[at] = rng.choice(_NUMBERS)
            case _:
                ops[at] = damaged_bytes(ops[at], rng)
        if not ops:
            break
    return b"".join(ops)


def _long(number: int) -> bytes:
    text = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(text)]) + text


_NUMBERS = (
    *map(_long, (-1, 0, 7, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1)),
    b"N",
    b"\x88",
    b"]",
    b"}",
    b")",
)


def _doubled(times: int, leaf: bytes, pair: bytes) -> bytes:
    """What holds itself twice, holds that twice, and so on: small, and huge for what goes through it."""
    return leaf + b"q\x00" + (b"h\x00" + pair + b"q\x00") * times


_OF_LISTS = b"]q\x00" + b"](h\x00h\x00eq\x00" * 80
_TUPLES = _doubled(80, b"K\x01", b"\x86")
_LISTS = _doubled(80, b"]", b"\x86")
#: Pickles that describe what a reader may not go through: doubled, endless, deep, of strange classes.
BY_HAND = (
    b"\x80\x02}" + _TUPLES + b"K\x01s.",
    b"\x80\x02}X\x01\x00\x00\x00a" + _LISTS + b"s.",
    b"\x80\x02ctorch\ndevice\n" + _LISTS + b"\x85R.",
    b"\x80\x04" + _LISTS + b"h\x00\x93.",
    b"\x80\x02" + b"(" * 5 + _TUPLES + b"Q.",
    b"\x80\x02" + _OF_LISTS + b")R.",
    b"\x80\x02}" + _OF_LISTS + b"K\x01s.",
    b"\x80\x02}(X\x01\x00\x00\x00a" + _OF_LISTS + b"u.",
    b"\x80\x02]q\x00h\x00a.",
    b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.",
    b"\x80\x02}" + b"K\x01\x85" + b"\x85" * 200_000 + b"K\x01s.",
    b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    b"\x80\x02}" + b"X\x01\x00\x00\x00a" + b"K\x01\x85" + b"\x85" * 200_000 + b"s.",
    b"\x80\x02ctorch\nSize\n" + _TUPLES + b"\x85R.",
    b"\x80\x02ccollections\nOrderedDict\n]" + _TUPLES + b"K\x01\x86a\x85R.",
    b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
    b"\x80\x02cbuiltins\nbytearray\n" + _long(1 << 40) + b"\x85R.",
)


def _old_torch_file(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(BY_HAND) if rng.random() < 0.1 else damaged_bytes(content, rng)


def _archive(files: Files, rng: random.Random) -> Files:
    """A parameter archive with another number in its header or a table, other bytes, or other views."""
    content = bytearray(files[_ARCHIVE])
    match rng.randrange(4):
        case 0:
            files[_ARCHIVE] = damaged_bytes(bytes(content), rng)
        case 1:
            table = json.loads(files["weights.json"])
            files["weights.json"] = json.dumps(damaged_json(table, rng)).encode()
        case 2:
            at = content.find(b'{"dtype"')
            note = json.dumps({"dtype": "float32", "sizes": [rng.choice((0, *_EDGES)) for _ in range(2)]})
            content[at : at + len(note)] = note.encode()
            files[_ARCHIVE] = bytes(content)
        case _:
            for _ in range(rng.choice((1, 1, 2))):
                at = rng.choice((*range(16, 104, 8), *range(128, 128 + 4 * 80, 4)))
                number = rng.choice((*_EDGES, len(content), len(content) - 1, rng.randrange(len(content))))
                struct.pack_into("<Q", content, at, number)
            files[_ARCHIVE] = bytes(content)
    return {**files, MANIFEST: agreeing(files)}


_CHANGES: Mapping[str, Callable[[Files, random.Random], Files]] = {
    "safetensors": _changed_file(_safetensors),
    "pickle": _changed_file(_torch_file),
    "old pickle": _changed_file(_old_torch_file),
    "folder of safetensors": _changed_folder(_safetensors),
    "folder of pickles": _changed_folder(_torch_file),
    "archive": _archive,
}


CAMPAIGN = Campaign("weights", make, act, ".zip")

if __name__ == "__main__":
    torch.set_num_threads(1)
    _samples()
    CAMPAIGN.main(default_cases=10_000)
