"""Several calls of a program, and the profile of a typical one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median, median_low
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bridge.compiled.profile import Profile

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted

# Before what is measured: sizes are compiled for, memory is touched.
_WARM_UP = 3


@dataclass(frozen=True)
class Measured:
    """Calls that were measured.

    `profile`: of the call of median time among those profiled. `plain_seconds`: the median of as many calls
    that were not.
    """

    profile: Profile
    plain_seconds: float
    calls: int


def measure(
    compiled: Compiled | Interpreted,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    calls: int = 10,
) -> Measured:
    """Call a program plainly and profiled, by turns; then once more for the kernels of its engines.

    All calls have their effects on the program's buffers and on the inputs that it writes.
    """
    given = dict(kwargs or {})
    for _ in range(_WARM_UP):
        compiled(*args, **given)
        compiled.profile_call(args, given, kernels=False)
    plain: list[float] = []
    profiles: list[Profile] = []
    for _ in range(calls):
        start = perf_counter()
        compiled(*args, **given)
        plain.append(perf_counter() - start)
        profiles.append(compiled.profile_call(args, given, kernels=False))
    middle = median_low(profile.seconds for profile in profiles)
    typical = next(profile for profile in profiles if profile.seconds == middle)
    return Measured(_with_kernels(typical, compiled.profile(*args, **given)), median(plain), calls)


def _with_kernels(profile: Profile, other: Profile) -> Profile:
    """A profile with the kernels of another call of the same program, moved to its own times."""
    began = {span.segment: span.start for span in profile.of("execute")}
    theirs = {span.segment: span.start for span in other.of("execute")}
    moved = [
        span._replace(start=span.start - theirs[span.segment] + began[span.segment])
        for span in other.of("kernel")
        if span.segment in began
    ]
    spans = sorted((*profile.spans, *moved), key=lambda span: (span.start, -span.seconds))
    return replace(profile, spans=tuple(spans))
