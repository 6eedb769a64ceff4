"""The buffers between calls: private copies, replaced together, kept where a failed call overwrote them."""

from __future__ import annotations

import numpy as np

from runtime.state import State
from tests.runtime.fakes import weights

STORED = np.array([1.0, 2.0], np.float32)


def state() -> State:
    return State(weights(total=STORED, count=STORED + 1), {"total": "b_total", "count": "b_count"})


def test_buffers_begin_as_copies_of_the_weights() -> None:
    held = state()
    held.host["total"][:] = 9
    np.testing.assert_array_equal(STORED, [1, 2])
    held.reset()
    np.testing.assert_array_equal(held.host["total"], STORED)
    np.testing.assert_array_equal(held.host["count"], STORED + 1)


def test_a_new_value_takes_the_place_of_the_old_one_in_either_form() -> None:
    held = state()
    held.replace({}, {"total": "handle"})
    assert (set(held.host), held.handles) == ({"count"}, {"total": "handle"})
    held.replace({"total": STORED}, {"count": "other"})
    assert (set(held.host), held.handles) == ({"total"}, {"count": "other"})
    held.reset()
    assert (set(held.host), held.handles) == ({"total", "count"}, {})


def test_after_a_failure_what_was_overwritten_has_what_lies_there_now() -> None:
    held = state()
    held.keep({"new": "made", "other": "not donated"}, {"b_total": "new", "b_count": "never made"})
    assert held.handles == {"total": "made"}
    assert set(held.host) == {"count"}
