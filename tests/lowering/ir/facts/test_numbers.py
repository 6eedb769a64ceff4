"""The functions of numbers that a program may hold."""

from __future__ import annotations

from lowering.ir.facts.numbers import OF_NUMBERS
from lowering.targets.aten.operators import SCALAR


def test_they_are_those_that_run() -> None:
    assert set(SCALAR) == OF_NUMBERS
