"""Options of `lower` on its passes: the text to show of them, and how many to run. All of it goes to standard
error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from bridge.pipelines import check_passes
from lowering.passes.pipeline import Observation, Timing, observed

PrintAfter = Annotated[
    list[str] | None,
    typer.Option(help="Print what this pass made; may be repeated.", show_default=False),
]
PrintChanged = Annotated[
    bool, typer.Option("--print-changed", help="Print what each pass made that changed anything.")
]
PassesUntil = Annotated[
    int | None,
    typer.Option(help="Run so many passes, and those that results rest on.", min=0, show_default=False),
]
TimePasses = Annotated[bool, typer.Option("--time-passes", help="Print how long each pass took.")]


@contextmanager
def observing(after: Sequence[str] | None, changed: bool, until: int | None, timed: bool) -> Iterator[None]:
    """Pipelines that run inside do as the options say. Raises UsageError for a pass that does not exist."""
    check_passes(after or ())
    wanted = Observation(_tell, frozenset(after or ()), changed, until)
    with observed(wanted):
        yield
    if timed:
        _tell("\n".join(_table(wanted.timings)))


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _table(timings: Sequence[Timing]) -> Iterator[str]:
    """A line per pass, summed over its runs, in order of the first; then the total."""
    seconds: dict[tuple[str, str], float] = {}
    runs: dict[tuple[str, str], int] = {}
    for pipeline, name, taken in timings:
        key = pipeline, name
        seconds[key] = seconds.get(key, 0.0) + taken
        runs[key] = runs.get(key, 0) + 1
    yield f"{'ms':>10} {'runs':>5}  pass"
    for (pipeline, name), taken in seconds.items():
        yield f"{taken * 1e3:10.3f} {runs[pipeline, name]:5}  {pipeline}: {name}"
    yield f"{sum(seconds.values()) * 1e3:10.3f} {len(timings):5}  all"
