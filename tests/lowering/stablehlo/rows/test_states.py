"""States of values, and the arithmetic on sizes that rules need."""

from __future__ import annotations

import pytest

from lowering.ir.program import Range
from lowering.ir.symbols import Symbol
from lowering.stablehlo.rows.states import PLAIN, SAME, Batch, Layout, Mixed, MixedRows, Rows
from lowering.stablehlo.symbolic import Assumptions

SIZES = Assumptions({"s": Range(1, 64), "t": Range(1, 64)}, {"s": 3, "t": 5})
BATCH = Batch("s", SIZES)
S, T = SIZES.size(Symbol("s")), SIZES.size(Symbol("t"))


def test_sizes_depend_on_the_batch_size_or_not() -> None:
    assert BATCH.axes((S, 4, T, S * T)) == [0, 3]
    assert BATCH.equal(S * T, T * S)
    assert BATCH.at_most(1, S)
    assert not BATCH.at_most(S, T)


def test_a_quotient_leaves_no_rest() -> None:
    assert BATCH.quotient(S * T * 4, T * 2) is not None
    assert BATCH.quotient(S * 3, 2) is None
    assert BATCH.per_row(S * T) == T
    with pytest.raises(MixedRows, match="has an axis of"):
        BATCH.per_row(S * S)
    with pytest.raises(MixedRows, match="has an axis of"):
        BATCH.per_row(S + 1)


@pytest.mark.parametrize(
    ("state", "shape", "fits"),
    [
        (SAME, (T, 4), True),
        (SAME, (S, 4), False),
        (Rows(0), (S, 4), True),
        (Rows(1), (S, 4), False),
        (Rows(0), (S, S), False),
        (Rows(0), (S * 2, 4), False),
        (Rows(0, Layout(1, 2)), (S * 2, 4), True),
        (Rows(0, Layout(2, T)), (S * 2 * T, 4), True),
        (Rows(0, None), (S * 2, 4), True),
        (Mixed("reason"), (S, S), True),
    ],
)
def test_a_state_fits_the_shape_of_its_value(state: object, shape: tuple[int, ...], fits: bool) -> None:
    assert BATCH.fits(state, shape) is fits  # pyright: ignore[reportArgumentType]


def test_states_of_one_shape_are_joined() -> None:
    assert BATCH.joined((SAME, SAME)) == SAME
    assert BATCH.joined((SAME, Rows(1))) == Rows(1)
    assert BATCH.joined((Rows(1, None), Rows(1, Layout(1, 2)))) == Rows(1, Layout(1, 2))
    assert BATCH.joined((Rows(1), Rows(1, PLAIN, alike=False))) == Rows(1, PLAIN, alike=False)
    with pytest.raises(MixedRows, match="takes the batch axis beside another axis"):
        BATCH.joined((Rows(1), Rows(0)))
    with pytest.raises(MixedRows, match="takes rows that lie otherwise"):
        BATCH.joined((Rows(0, Layout(1, 2)), Rows(0, Layout(2, 1))))
