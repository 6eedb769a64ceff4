"""Which operators round, held against torch's tags of pointwise operators and reductions."""

from __future__ import annotations

from lowering.ir.aten import schema, targets
from lowering.ir.facts.rounding import EXACT_NAMES, SUMMING_NAMES, is_exact, sums_many

NAMES = {target.split(".")[1] for target in targets()}


def test_every_name_is_an_operator() -> None:
    """No typing mistake hides in a table."""
    known = NAMES | {name.removesuffix("_") for name in NAMES}
    assert known >= EXACT_NAMES
    assert known >= SUMMING_NAMES
    assert not EXACT_NAMES & SUMMING_NAMES


def test_what_torch_calls_pointwise_sums_nothing() -> None:
    pointwise = [t for t in targets() if "pointwise" in schema(t).tags]  # pyright: ignore[reportOptionalMemberAccess]
    assert len(pointwise) > 300
    assert [t for t in pointwise if sums_many(t) and not is_exact(t)] == []


def test_what_torch_calls_a_reduction_sums_or_is_exact() -> None:
    reductions = [t for t in targets() if "reduction" in schema(t).tags]  # pyright: ignore[reportOptionalMemberAccess]
    assert [t for t in reductions if not sums_many(t) and not is_exact(t)] == []


def test_in_place_is_as_exact_as_its_twin() -> None:
    assert is_exact("aten.relu_.default")
    assert sums_many("aten.addmm_.default")
    assert not is_exact("aten.exp_.default")
