"""Whatever the bytes are, reading gives a program or an `ArchiveError`, and mapping its weights does too."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowering.frontend.pt2 import ArchiveError, read

from .damage import CONSTANTS, MODEL, WEIGHTS, entries, sample, write

NAMES = ("mlp", "mlp_dynamic", "branch", "cached_attention", "tied_embedding", "data_dependent", "tree")
PLAIN = {name: sample(name).read_bytes() for name in NAMES}
CONTENTS = {name: entries(sample(name)) for name in NAMES}

SETTINGS = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# What may stand in the place of any value of a document.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 40),
    st.sampled_from([1 << 31, 1 << 62, 1 << 64, -(1 << 63), 10**400]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["x", "linear", "as_tensor", "s77", "Symbol('s0')", "Infinity", "builtins.dict", "[1, [2]]"]
    ),
    st.sampled_from([[], {}, [[]], {"as_int": 1}, {"as_tensor": {"name": "x"}}, {"as_none": True}]).map(
        deepcopy
    ),
)


def reads_or_refuses(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        path.write_bytes(data)
        with suppress(ArchiveError):
            _, weights = read(path)
            for storage in weights.storages.values():
                storage.open().sum()


@SETTINGS
@given(
    st.sampled_from(NAMES), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=8)
)
def test_flipped_bytes(name: str, flips: list[tuple[float, int]]):
    data = bytearray(PLAIN[name])
    for where, mask in flips:
        data[int(where * (len(data) - 1))] ^= mask
    reads_or_refuses(bytes(data))


@SETTINGS
@given(st.sampled_from(NAMES), st.lists(st.tuples(st.integers(1, 1400), st.integers(0, 255)), min_size=1))
def test_changed_directory(name: str, changes: list[tuple[int, int]]):
    """The zip's own structure is in the last bytes."""
    data = bytearray(PLAIN[name])
    for back, value in changes:
        data[-back] = value
    reads_or_refuses(bytes(data))


@SETTINGS
@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1))
def test_missing_bytes(name: str, start: float, stop: float):
    data = PLAIN[name]
    low, high = sorted((int(start * len(data)), int(stop * len(data))))
    reads_or_refuses(data[:low] + data[high:])


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        item = waiting.pop()
        keys = range(len(item)) if isinstance(item, list) else list(item)
        for key in keys:
            found.append((item, key))
            if isinstance(item[key], list | dict):
                waiting.append(item[key])
    return found


@settings(SETTINGS, max_examples=400)
@given(st.sampled_from(NAMES), st.sampled_from((MODEL, WEIGHTS, CONSTANTS)), st.data())
def test_changed_documents(name: str, entry: str, data: st.DataObject):
    document = json.loads(CONTENTS[name][entry])
    for _ in range(data.draw(st.integers(1, 3))):
        spots = places(document)
        if not spots:
            break
        container, key = data.draw(st.sampled_from(spots))
        if data.draw(st.integers(0, 4)) == 0:
            del container[key]
        else:
            container[key] = data.draw(VALUES)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "m.pt2", CONTENTS[name] | {entry: json.dumps(document).encode()})
        reads_or_refuses(path.read_bytes())


@SETTINGS
@given(st.sampled_from((MODEL, WEIGHTS)), st.binary(max_size=60))
def test_any_bytes_as_a_document(entry: str, content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "m.pt2", CONTENTS["mlp"] | {entry: content})
        with pytest.raises(ArchiveError):
            read(path)
