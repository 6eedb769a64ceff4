"""Executables that check the data: the first check that fails is the error, and nothing was overwritten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lowering.ir.module import Check, CheckKind, Module, Port
from lowering.ir.types import DType
from lowering.targets.errors import ExecutionError
from lowering.targets.target import Built
from runtime.checks import Checked, Preflighted
from tests.runtime.fakes import FakeEngine, plan, program, tensor

CHECKS = (Check(CheckKind.INDEX, "row 9 is out of bounds"), Check(CheckKind.ASSERTION, "not positive"))
PORTS = tuple(Port(name, DType.FLOAT32, (3,)) for name in ("a", "b"))
WEIGHT = Port("w", DType.FLOAT32, (3,), "w")


def built() -> Built:
    """A module of two checks that overwrites `b`; its preflight reads `b` alone."""
    empty = program({"x": tensor(3)}, [], ["%x"])
    preflight = Module(b"", (WEIGHT, PORTS[1]), (), checks=CHECKS)
    module = Module(b"", (WEIGHT, *PORTS), (), checks=CHECKS, preflight=preflight)
    return Built(module, b"", FakeEngine(empty, plan(empty)))


def answering(*failed: bool):
    """An executable that gives its arguments, then which checks failed."""
    return lambda handles: [*handles, np.array(failed)]


def test_results_come_without_the_checks() -> None:
    run = Checked(answering(False, False), built(), CHECKS)
    assert run([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("failed", "kind", "message"),
    [
        ((True, True), IndexError, "row 9 is out of bounds"),
        ((False, True), ExecutionError, "not positive"),
    ],
)
def test_the_first_that_fails_is_raised(failed: Sequence[bool], kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        Checked(answering(*failed), built(), CHECKS)([1])


def test_nothing_is_overwritten_where_a_preflight_fails() -> None:
    b = np.zeros(3)

    def overwrite(handles):
        handles[1][:] = 1
        return [handles[1], np.array((False, False))]

    with pytest.raises(IndexError):
        Preflighted(overwrite, lambda handles: [np.array((True, False))], built())([None, b])
    assert b.tolist() == [0, 0, 0]
    asked = []

    def check(handles):
        asked.extend(handles)
        return [np.array((False, False))]

    (result,) = Preflighted(overwrite, check, built())([None, b])
    assert result is b
    assert asked[0] is b
    assert b.tolist() == [1, 1, 1]
