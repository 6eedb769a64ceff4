"""The buffers that calls find and leave: replaced together, kept where a failed call overwrote them."""

from __future__ import annotations

import numpy as np

from runtime.buffer_store import BufferStore

STORED = np.array([1.0, 2.0], np.float32)


def store() -> BufferStore:
    return BufferStore({"total": STORED, "count": STORED + 1}, {})


def test_a_new_value_takes_the_place_of_the_old_one_in_either_form() -> None:
    held = store()
    held.replace({}, {"total": "handle"})
    assert (set(held.host), held.handles) == ({"count"}, {"total": "handle"})
    held.replace({"total": STORED}, {"count": "other"})
    assert (set(held.host), held.handles) == ({"total"}, {"count": "other"})
    held.take({"total": STORED, "count": STORED})
    assert (set(held.host), held.handles) == ({"total", "count"}, {})


def test_after_a_failure_what_was_overwritten_has_what_lies_there_now() -> None:
    held = store()
    names = {"total": "b_total", "count": "b_count"}
    held.keep(names, {"new": "made", "other": "not donated"}, {"b_total": "new", "b_count": "never made"})
    assert held.handles == {"total": "made"}
    assert set(held.host) == {"count"}
