"""Random programs whose rows are proved to stay apart do what eager does, at a larger size and cut."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

import bridge
from bridge.errors import UsageError
from lowering.passes import partition as partitioning
from tests.random_programs import OPS, SIZES, decode, inputs
from tests.test_random_programs import export, observe

_LINE = st.tuples(st.integers(0, len(OPS) - 1), *[st.integers(0, 15)] * 3, st.integers(0, 839))
_DRAWN = st.tuples(
    st.lists(_LINE, min_size=2, max_size=7),
    st.lists(st.integers(0, 15), max_size=2),
)
_OPTIONS: Any = {"deadline": None, "derandomize": True, "database": None}
# The example's size, 4, has an executable of its own; calls at 6 and 2 run at this one.
BUCKET = 7
PADDED = "padded"


@settings(max_examples=20, **_OPTIONS)
@given(_DRAWN)
def test_padded_programs(drawn: Any) -> None:
    event(check(*drawn))


@pytest.mark.conformance
@settings(max_examples=3000, **_OPTIONS)
@given(_DRAWN)
def test_many_padded_programs(drawn: Any) -> None:
    event(check(*drawn))


def check(lines: list[Any], outputs: list[int]) -> str:
    """Compare a call per size with eager's; the outcome: padded, or why not."""
    module = decode(lines, outputs, SIZES)
    shapes = {name: {0: torch.export.Dim.AUTO} for name in "xyk"}
    exported = export(module, inputs(SIZES[0], 0), shapes)
    if exported is None:
        return "not exportable"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitioning, "MIN_NODES", 1)
        lowered = bridge.lower(exported)
    buckets = {symbol: [BUCKET] for symbol in lowered.example_sizes}
    if not any(lowered.symbols(segment) for segment in lowered.plan.segments):
        return "no size varies"
    try:
        compiled = lowered.compile("xla", on_new_size="wait", buckets=buckets)
    except UsageError as error:
        return f"not proved: {str(error).partition(')')[2][:40]}"
    eager = copy.deepcopy(module)
    for call, rows in enumerate(SIZES):
        got = observe(compiled, lambda: compiled.buffers, rows, call)
        if got is None:
            assert call, "the example itself is refused"
            continue
        want = observe(eager, lambda: dict(eager.named_buffers()), rows, call)
        assert want is not None
        kept = {name: value for name, value in want[2].items() if name in got[2]}
        torch.testing.assert_close(got, (*want[:2], kept), equal_nan=True)
    return PADDED if compiled.report.padded else "proved, and at its own sizes"


def test_a_program_that_keeps_rows_apart_is_padded() -> None:
    """So that the others are worth running."""
    unary = next(place for place, found in enumerate(OPS) if found.name == "unary")
    assert check([(unary, 0, 0, 0, 0)], []) == PADDED
