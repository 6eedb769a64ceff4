"""Symbols from the sizes of tensors and from scalars; a size that does not fit, in the caller's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import SymKind, SymType
from lowering.targets.errors import InputError
from runtime.sizes import Sizes
from tests.runtime.fakes import N, program, tensor

TWICE = Apply("Mul", (2, N))


def sizes(*types: Any, ranges: dict[str, Range] | None = None) -> Sizes:
    names = [f"x{place}" for place in range(len(types))]
    made = program(dict(zip(names, types, strict=True)), [], [], ranges=ranges or {})
    return Sizes(made, types, names)


def array(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def refusal(found: Sizes, *leaves: Any) -> str:
    with pytest.raises(InputError) as caught:
        found.bind(leaves)
    return str(caught.value)


def test_a_symbol_is_what_its_axis_is_wherever_it_stands_alone() -> None:
    assert sizes(tensor(TWICE), tensor(N, 3)).bind([array(8), array(4, 3)]) == {"s0": 4}


def test_a_symbol_of_an_expression_alone_is_solved_for() -> None:
    assert sizes(tensor(TWICE)).bind([array(8)]) == {"s0": 4}
    assert refusal(sizes(tensor(TWICE)), array(7)).startswith("dim 0 of `x0` is 7, the program allows")


def test_a_scalar_binds_its_symbol() -> None:
    scalar = SymType(SymKind.INT, Symbol("s1"))
    assert sizes(scalar, tensor(Symbol("s1"))).bind([5, array(5)]) == {"s1": 5}
    assert refusal(sizes(scalar, tensor(Symbol("s1"))), 5, array(4)) == (
        "dim 0 of `x1` is 4, the program takes 5, the same as `x0`"
    )


@pytest.mark.parametrize(
    ("found", "leaves", "message"),
    [
        (sizes(tensor(4, 8)), (array(4, 7),), "dim 1 of `x0` is 7, the program takes 8"),
        (
            sizes(tensor(N), tensor(N)),
            (array(3), array(4)),
            "dim 0 of `x1` is 4, the program takes 3, the same as dim 0 of `x0`",
        ),
        (
            sizes(tensor(N), tensor(TWICE)),
            (array(3), array(7)),
            "dim 0 of `x1` is 7, the program takes 6 = 2*x0.size(0), where x0.size(0) is 3",
        ),
        (
            sizes(tensor(N), ranges={"s0": Range(2, 8)}),
            (array(9),),
            "dim 0 of `x0` is 9, the program allows 2 to 8",
        ),
        (
            sizes(tensor(TWICE), ranges={"s0": Range(2, 8)}),
            (array(18),),
            "dim 0 of `x0` is 18, the program allows 4 to 16 in steps of 2",
        ),
    ],
)
def test_a_size_that_does_not_fit(found: Sizes, leaves: tuple[Any, ...], message: str) -> None:
    assert refusal(found, *leaves) == message
