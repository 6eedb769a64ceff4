"""The buffers between calls: private copies, replaced together, kept where a failed call overwrote them.

A caller reads, sets, clones, rolls back, saves and loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import bridge
from bridge.compiled.state import State, StateRefused, StateSpec
from bridge.errors import BridgeError
from bridge.state_files import STATE_FILES
from tests.runtime.fakes import weights

STORED = np.array([1.0, 2.0], np.float32)


def spec() -> StateSpec:
    return StateSpec(
        ("total", "count"), weights(total=STORED, count=STORED + 1), {"sum": "total"}, files=STATE_FILES
    )


def state() -> State:
    return State(spec())


def lists(held: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in held.items()}


FIRST = {"total": [1, 2], "count": [2, 3], "sum": [1, 2]}


def test_buffers_begin_as_copies_of_the_weights() -> None:
    held = state()
    held.store.host["total"][:] = 9
    np.testing.assert_array_equal(STORED, [1, 2])
    held.reset()
    np.testing.assert_array_equal(held.store.host["total"], STORED)
    np.testing.assert_array_equal(held.store.host["count"], STORED + 1)


def test_reset_lets_go_of_what_calls_left() -> None:
    held = state()
    held.store.replace({}, {"total": "handle"})
    held.reset()
    assert (set(held.store.host), held.store.handles) == ({"total", "count"}, {})


def test_a_mapping_of_copies_by_every_name() -> None:
    held = state()
    assert (len(held), list(held), held.bytes) == (3, ["total", "count", "sum"], 16)
    assert lists(held) == lists(held.read()) == FIRST
    held["total"].zero_()
    assert lists(held) == FIRST
    held.store.uses_torch = False
    assert isinstance(held["total"], np.ndarray)
    with pytest.raises(KeyError):
        held["b_total"]
    assert repr(held) == "<State of 3 buffers, 16 bytes>"
    assert held != state()
    assert held == held


def test_setting_copies_and_names_of_one_buffer_are_one() -> None:
    held = state()
    given = np.array([5, 6], np.float32)
    held["sum"] = given
    given[:] = 0
    held.set({"count": torch.tensor([7.0, 8.0], requires_grad=True)})
    assert lists(held) == {"total": [5, 6], "count": [7, 8], "sum": [5, 6]}
    held.set({"total": torch.tensor([[1.0, 9.0], [2.0, 9.0]])[:, 0], "sum": STORED})
    assert held["total"].tolist() == [1, 2]


def test_a_clone_and_a_mark_are_states_of_their_own() -> None:
    held = state()
    mark = held.clone()
    held["total"] = STORED + 10
    assert lists(mark) == FIRST
    held.rollback(mark)
    assert lists(held) == FIRST
    held["count"] = STORED
    assert lists(mark) == FIRST
    mark.rollback(mark)
    assert lists(mark) == FIRST


def test_a_file_brings_all_values_back(tmp_path: Path) -> None:
    held = state()
    held["total"] = STORED + 10
    held.save(tmp_path / "s.safetensors")
    other = state()
    other.spec = held.spec
    other.load(tmp_path / "s.safetensors")
    assert lists(other) == lists(held)
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "complex64", "bool", "int64"])
def test_files_keep_every_dtype(dtype: str, tmp_path: Path) -> None:
    value = np.array([0, 1, 1]).astype(getattr(ml_dtypes, dtype, dtype))
    held = State(StateSpec(("x",), weights(x=value), files=STATE_FILES))
    held.save(tmp_path / "s.safetensors")
    held["x"] = value[::-1]
    held.load(tmp_path / "s.safetensors")
    assert held.store.host["x"].tobytes() == value.tobytes()


REFUSED = [
    (
        {"totl": STORED},
        "the program writes no buffer 'totl'; it writes total, count, sum; did you mean `total`?",
    ),
    ({"total": STORED.astype(np.float64)}, "the buffer 'total' is float32 [2], not float64 [2]"),
    ({"sum": STORED[:1]}, "the buffer 'sum' is float32 [2], not float32 [1]"),
    ({"count": [1.0, 2.0]}, "the buffer 'count' is float32 [2], not a list"),
    ({"count": np.array(["a", "b"])}, "the buffer 'count' is float32 [2], not a ndarray"),
    ({"count": torch.ones(2).to_sparse()}, "the buffer 'count' is float32 [2], not sparse_coo float32 [2]"),
    (
        {"total": STORED, "sum": STORED + 1},
        "the buffer 'total' has the name 'sum' too, and two values are given",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_values_that_do_not_fit_change_nothing(values: dict[str, Any], sentence: str) -> None:
    held = state()
    with pytest.raises(StateRefused) as caught:
        held.set({"count": STORED + 5, **values})
    assert str(caught.value) == sentence
    assert isinstance(caught.value, BridgeError)
    assert lists(held) == FIRST


FILES = [
    ({"total": STORED}, "the buffer 'count' is missing"),
    ({}, "the buffer 'total' is missing and 1 more"),
    (
        {"total": STORED, "count": STORED, "more": STORED},
        "the program writes no buffer 'more'; it writes total, count, sum",
    ),
    (
        {"total": STORED, "count": STORED.astype(np.float16)},
        "the buffer 'count' is float32 [2], not float16 [2]",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), FILES)
def test_files_that_do_not_fit_change_nothing(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    STATE_FILES.write(path, values)
    held = state()
    with pytest.raises(StateRefused) as caught:
        held.load(path)
    assert str(caught.value) == f"{path}: {sentence}"
    assert lists(held) == FIRST


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    held = state()
    path = tmp_path / "s.safetensors"
    path.write_bytes(b"\xff" * 100)
    for place in (path, tmp_path / "none"):
        with pytest.raises(BridgeError, match="it cannot be read"):
            held.load(place)
    with pytest.raises(BridgeError, match=r"cannot write .*: No such file or directory"):
        held.save(tmp_path / "nowhere" / "s.safetensors")
    with pytest.raises(TypeError, match="put together by hand"):
        State(StateSpec((), weights())).save(path)


def test_states_of_other_programs_are_refused() -> None:
    held = state()
    with pytest.raises(
        StateRefused, match="the state is of another program: save it, and load it into one of"
    ):
        held.rollback(state())
    given: Any = {"total": STORED}
    with pytest.raises(
        StateRefused, match=r"^the state is a dict: give one that state\(\) or clone\(\) returned$"
    ):
        held.rollback(given)


class Keep(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.add_(x)
        return self.kept + 1


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_what_a_caller_sets_is_what_the_next_call_reads(engine: str) -> None:
    compiled, x = bridge.lower(Keep(), (torch.ones(3),)).compile(engine), torch.ones(3)
    for _ in range(2):
        given = torch.full((3,), 5.0)
        compiled.state()["kept"] = given
        assert compiled(x).tolist() == [7.0] * 3
        assert given.tolist() == [5.0] * 3
        mark = compiled.state().clone()
        assert compiled(x).tolist() == [8.0] * 3
        compiled.state().rollback(mark)
        assert compiled(x).tolist() == [8.0] * 3
        assert mark["kept"].tolist() == [6.0] * 3
