"""Buffers that lie in the caller's own tensors: calls find what is there, and leave their values there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge.compiled.state import StateRefused
from bridge.errors import BridgeError

ENGINES = ["xla", "iree", "aten"]
X = torch.arange(4.0)


class Rows(torch.nn.Module):
    """One buffer that is written as a whole, one of which a row is, and one that is only read and grows."""

    total: torch.Tensor
    rows: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4))
        self.register_buffer("rows", torch.zeros(3, 4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.total.add_(x)
        self.rows.index_copy_(0, at, x[None])
        self.count.add_(1)
        return self.rows.sum(0) + self.total, self.total


def at(row: int) -> torch.Tensor:
    return torch.tensor([row])


def compiled(engine: str) -> Any:
    return bridge.lower(torch.export.export(Rows(), (X, at(0)))).compile(engine)


def own() -> dict[str, torch.Tensor]:
    return {"total": torch.full((4,), 10.0), "rows": torch.ones(3, 4)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_call_finds_the_callers_values_and_leaves_new_ones_in_place(engine: str) -> None:
    program, held, eager = compiled(engine), own(), Rows()
    eager.load_state_dict({**own(), "count": eager.count})
    program.state().bind(held)
    for row in (2, 0):
        got, want = program(X, at(row)), eager(X, at(row))
        assert all(a.equal(b) for a, b in zip(got, want, strict=True))
        assert held["total"].equal(eager.total)
        assert held["rows"].equal(eager.rows)
        # A result is not the caller's buffer itself.
        got[1].zero_()
        assert held["total"].equal(eager.total)
    held["rows"].mul_(3)
    eager.rows.mul_(3)
    assert program(X, at(1))[0].equal(eager(X, at(1))[0])
    assert program.buffers["count"] == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_arrays_of_numpy_hold_buffers_of_numpys_callers(engine: str) -> None:
    program = compiled(engine)
    total = np.full(4, 10.0, np.float32)
    program.state().bind({"total": total})
    program(X.numpy(), np.array([1]))
    assert total.tolist() == [10.0, 11.0, 12.0, 13.0]


def test_what_sets_values_writes_to_the_callers_tensors() -> None:
    program, held = compiled("aten"), own()
    state = program.state()
    state.bind(held)
    mark = state.clone()
    program(X, at(0))
    assert mark["total"].equal(own()["total"])
    state.rollback(mark)
    assert held["total"].equal(own()["total"])
    state.set({"total": X})
    assert held["total"].equal(X)
    program.reset()
    assert not held["total"].any()
    assert not held["rows"].any()


def test_after_unbinding_the_tensors_are_the_callers_alone() -> None:
    program, held = compiled("aten"), own()
    program.state().bind(held)
    program.state().unbind()
    program(X, at(0))
    assert held["total"].equal(own()["total"])
    held["total"].zero_()
    assert program.buffers["total"].equal(own()["total"] + X)


def test_an_input_that_is_a_bound_buffer_is_refused_and_nothing_changes() -> None:
    program, held = compiled("aten"), own()
    program.state().bind(held)
    with pytest.raises(BridgeError, match="`x` shares memory with the tensor that the buffer 'total'"):
        program(held["total"], at(0))
    assert held["total"].equal(own()["total"])
    program(held["total"].clone(), at(0))
    assert held["total"].equal(own()["total"] * 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_call_that_fails_leaves_the_callers_tensors(engine: str) -> None:
    program, held = compiled(engine), own()
    program.state().bind(held)
    with pytest.raises(BridgeError):
        program(X, at(7))
    assert held["total"].equal(own()["total"])
    assert held["rows"].equal(own()["rows"])


def test_sessions_hold_buffers_of_their_own() -> None:
    program, held = compiled("aten"), own()
    session = program.session()
    session.state().bind(held)
    program(X, at(0))
    assert held["total"].equal(own()["total"])
    session(X, at(0))
    assert held["total"].equal(own()["total"] + X)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"totl": X.clone()}, "writes no buffer 'totl'"),
    ({"total": torch.zeros(5)}, r"is float32 \[4\], not float32 \[5\]"),
    ({"rows": torch.zeros(4, 3).t()}, "a tensor that is not row-major"),
    ({"rows": np.zeros((4, 3), np.float32).T}, "a tensor that is not row-major"),
    ({"total": np.broadcast_to(np.float32(0), (4,))}, "a tensor that is not row-major"),
    ({"total": torch.zeros(4, requires_grad=True)}, "a tensor that requires grad"),
    ({"total": torch.zeros(12)[:4], "rows": None}, "not a NoneType"),
]


@pytest.mark.parametrize(("tensors", "sentence"), REFUSED)
def test_tensors_that_cannot_hold_a_buffer_are_refused(tensors: dict[str, Any], sentence: str) -> None:
    program = compiled("aten")
    with pytest.raises(StateRefused, match=sentence):
        program.state().bind(tensors)
    program(X, at(0))
    assert program.buffers["total"].equal(X)


def test_tensors_that_share_memory_or_cannot_be_written_are_refused() -> None:
    program, whole = compiled("aten"), torch.zeros(12)
    with pytest.raises(StateRefused, match="'total' and 'rows' would share memory"):
        program.state().bind({"total": whole[:4], "rows": whole.view(3, 4)})
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(StateRefused, match="a tensor that is read-only"):
        program.state().bind({"total": frozen})
    with torch.inference_mode():
        inside = torch.zeros(4)
    with pytest.raises(StateRefused, match="an inference tensor"):
        program.state().bind({"total": inside})
