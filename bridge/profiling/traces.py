"""A profile as a Chrome trace, which Perfetto and chrome://tracing open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bridge.compiled.profile import Profile, Span
from bridge.profiling.costs import Costs

_CALL = 0


def chrome_trace(profile: Profile) -> dict[str, Any]:
    """The steps of the call, one inside another, and the kernels of engines on tracks of their own.

    Times are microseconds since the call began. Every event that begins on a track ends there, inside out.
    """
    costs = Costs(profile)
    call = Span("step", f"call on {profile.engine}", 0.0, profile.seconds)
    others = [span for span in profile.spans if span.kind != "kernel"]
    events = [_named(_CALL, "call"), *_events(_CALL, [call, *others], profile, costs)]
    for number, track in enumerate(_tracks(profile.of("kernel")), _CALL + 1):
        placed = sorted({profile.placed[span.segment] for span in track})
        events += [
            _named(number, f"kernels of {' and '.join(placed)}"),
            *_events(number, track, profile, costs),
        ]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _named(track: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "thread_name", "pid": 0, "tid": track, "args": {"name": name}}


def _events(track: int, spans: Sequence[Span], profile: Profile, costs: Costs) -> Iterator[dict[str, Any]]:
    """A begin and an end for each span; one that begins in another ends in it."""
    open_: list[float] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.seconds)):
        while open_ and open_[-1] <= span.start:
            yield {"ph": "E", "pid": 0, "tid": track, "ts": open_.pop() * 1e6}
        end = span.start + span.seconds
        # Clocks of an engine may place an end a little later than that of what it is in.
        open_.append(min(end, open_[-1]) if open_ else end)
        yield {
            "ph": "B", "pid": 0, "tid": track, "ts": span.start * 1e6, "cat": span.kind,
            "name": _title(span, profile), "args": _arguments(span, costs),
        }  # fmt: skip
    while open_:
        yield {"ph": "E", "pid": 0, "tid": track, "ts": open_.pop() * 1e6}


def _title(span: Span, profile: Profile) -> str:
    if span.kind == "step" and span.segment >= 0:
        return f"segment {span.segment} on {profile.placed[span.segment]}"
    if span.kind in ("import", "export", "execute"):
        return f"{span.kind} {span.name}"
    return span.name or span.kind


def _arguments(span: Span, costs: Costs) -> dict[str, Any]:
    where = costs.where(span.nodes)
    found = {
        "nodes": [name for name, _, _ in where],
        "source": [line for _, line, _ in where if line],
        "modules": [path for _, _, path in where if path],
    }
    return {name: list(dict.fromkeys(values)) for name, values in found.items() if values}


def _tracks(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans on tracks: two spans of a track are one inside the other, or apart."""
    tracks: list[tuple[int, list[Span]]] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.seconds)):
        fitting = (track for lane, track in tracks if lane == span.lane and _fits(span, track))
        track = next(fitting, None)
        if track is None:
            tracks.append((span.lane, [span]))
        else:
            track.append(span)
    return [track for _, track in tracks]


def _fits(span: Span, track: Sequence[Span]) -> bool:
    end = span.start + span.seconds
    return all(
        other.start + other.seconds <= span.start or end <= other.start + other.seconds for other in track
    )
