"""Sessions: the life of one, and those of programs on the host as read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bridge
from bridge.compilation import interpreted
from bridge.compiled.state import StateRefused


class Count(torch.nn.Module):
    """`whole` and its view `part` share memory."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.zeros(4)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[1:3])
        self.register_buffer("scale", torch.full((2,), 3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.part.add_(x * self.scale)
        return self.whole.clone()


X = torch.ones(2)


def programs() -> list[Any]:
    lowered = bridge.lower(Count(), (X,))
    return [interpreted(lowered), lowered.compile("aten")]


@pytest.mark.parametrize("program", programs(), ids=["interpreted", "compiled"])
def test_sessions_clones_and_marks(program: Any) -> None:
    with program.session() as one, program.session() as two:
        assert [one(X).tolist(), two(X).tolist(), one(X).tolist()] == [
            [0, 3, 3, 0],
            [0, 3, 3, 0],
            [0, 6, 6, 0],
        ]
        mark = one.state().clone()
        assert one(X).tolist() == program.session(mark.clone())(X).tolist() == [0, 9, 9, 0]
        one.state().rollback(mark)
        assert one(X).tolist() == [0, 9, 9, 0]
        one.reset()
        assert one(X).tolist() == [0, 3, 3, 0]
        assert mark["whole"].tolist() == [0, 6, 6, 0]
    assert program(X).tolist() == [0, 3, 3, 0]
    assert program.state()["whole"].tolist() == program.buffers["whole"].tolist() == [0, 3, 3, 0]


def test_a_program_as_read_keeps_shared_memory_when_a_value_is_set() -> None:
    program = interpreted(bridge.lower(Count(), (X,)))
    state = program.state()
    assert list(state) == ["whole", "part"]
    state["part"] = torch.tensor([5.0, 6.0])
    assert state["whole"].tolist() == [0, 5, 6, 0]
    assert program(X.numpy()).tolist() == [0, 8, 9, 0]


def test_a_session_ends_with_its_block() -> None:
    compiled = bridge.lower(Count(), (X,)).compile("aten")
    with compiled.session() as s:
        s(X)
    for use in (lambda: s(X), s.state, s.reset):
        with pytest.raises(StateRefused) as caught:
            use()
        assert str(caught.value) == (
            "the session has ended, and its state with it: clone the state before, or open another"
        )


def test_a_program_without_state_has_sessions_too() -> None:
    compiled = bridge.lower(torch.nn.Identity(), (X,)).compile("aten")
    with compiled.session() as s:
        assert s(X).tolist() == [1, 1]
        assert dict(s.state()) == {}
        assert s.state().bytes == 0
    with pytest.raises(StateRefused, match="the state is of another program"):
        compiled.session(bridge.lower(Count(), (X,)).compile("aten").state())
