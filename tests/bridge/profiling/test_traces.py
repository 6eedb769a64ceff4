"""A trace is JSON in which each event that begins on a track ends there."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from bridge.profiling.traces import chrome_trace
from tests.bridge.profiling.profiles import kernel, mixed


def nested(trace: dict[str, Any]) -> dict[int, list[tuple[int, str]]]:
    """By track the events' depths and names; fails where one does not end, or ends before it begins."""
    open_: dict[int, list[float]] = defaultdict(list)
    last: dict[int, float] = defaultdict(float)
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for event in json.loads(json.dumps(trace))["traceEvents"]:
        track = event["tid"]
        if event["ph"] == "M":
            continue
        assert event["ts"] >= last[track]
        last[track] = event["ts"]
        if event["ph"] == "B":
            found[track].append((len(open_[track]), event["name"]))
            open_[track].append(event["ts"])
        else:
            assert event["ph"] == "E"
            open_[track].pop()
    assert not any(open_.values())
    return found


def test_what_a_call_does_is_one_inside_another() -> None:
    assert nested(chrome_trace(mixed()))[0] == [
        (0, "call on fake"),
        (1, "bind"),
        (1, "segment 0 on fake"),
        (2, "import x"),
        (2, "execute fake"),
        (1, "segment 1 on aten"),
        (2, "export a"),
        (2, "aten.add.Tensor"),
        (2, "aten.add.Tensor"),
        (2, "aten.t.default"),
        (2, "aten.mm.default"),
        (1, "results"),
    ]


def test_kernels_have_tracks_of_their_own() -> None:
    inside = [kernel("loop", 0, 10), kernel("body", 1, 2), kernel("body", 3, 2), kernel("last", 10, 1)]
    found = nested(chrome_trace(mixed(*inside)))
    assert found[1] == [(0, "loop"), (1, "body"), (1, "body"), (0, "last")]


def test_kernels_that_overlap_do_not_share_a_track() -> None:
    spans = [kernel("a", 0, 2), kernel("b", 1, 2), kernel("c", 2.5, 1), kernel("other", 5, 1, lane=1)]
    found = nested(chrome_trace(mixed(*spans)))
    assert [found[track] for track in (1, 2, 3)] == [[(0, "a"), (0, "c")], [(0, "b")], [(0, "other")]]


def test_tracks_have_names() -> None:
    events = chrome_trace(mixed(kernel("k", 0, 1)))["traceEvents"]
    assert [event["args"]["name"] for event in events if event["ph"] == "M"] == ["call", "kernels of fake"]


def test_events_name_their_nodes() -> None:
    events = chrome_trace(mixed())["traceEvents"]
    named = [event["args"]["nodes"] for event in events if event.get("cat") == "operator"]
    assert named == [["b"], ["c"], ["d"], ["e"]]
