"""Calls of a list's modules, one after the other, as a loop over the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lowering.python.calls import Path, is_index
from lowering.python.steps import Step


@dataclass(frozen=True, slots=True)
class Loop:
    """Calls of the modules from `first` to `last` of the list at a path below the module.

    `carried`: by argument, the result of the module before that it is from the second call on. None: all
    calls have the same value.
    """

    path: Path
    first: int
    last: int
    steps: tuple[Step, ...]
    carried: tuple[int | None, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The values of the last call."""
        return tuple(self.steps[-1].results())


def folded(
    steps: Sequence[Step], is_list: Callable[[Path], bool], uses: Callable[[str], int]
) -> list[Step | Loop]:
    """Steps with their runs of calls folded. `uses`: how often the body reads a value."""
    found: list[Step | Loop] = []
    place = 0
    while place < len(steps):
        loop = _loop(steps, place, is_list, uses)
        found.append(steps[place] if loop is None else loop)
        place += 1 if loop is None else len(loop.steps)
    return found


def _loop(
    steps: Sequence[Step], start: int, is_list: Callable[[Path], bool], uses: Callable[[str], int]
) -> Loop | None:
    callee = steps[start].callee
    if callee is None or not is_index(callee[-1]) or not is_list(callee[:-1]):
        return None
    first = int(callee[-1])
    run = [steps[start]]
    for index, step in enumerate(steps[start + 1 :], first + 1):
        if step.callee != (*callee[:-1], str(index)) or not _alike(step, steps[start]):
            break
        run.append(step)
    for length in range(len(run), 1, -1):
        carried = _carried(run[:length], uses)
        if carried is not None:
            return Loop(callee[:-1], first, first + length - 1, tuple(run[:length]), carried)
    return None


def _alike(a: Step, b: Step) -> bool:
    flat = all(isinstance(output, str) for output in (*a.outputs, *b.outputs))
    return flat and len(a.arguments) == len(b.arguments) and len(a.outputs) == len(b.outputs)


def _carried(run: Sequence[Step], uses: Callable[[str], int]) -> tuple[int | None, ...] | None:
    """How each argument comes to be; None where the calls are not a loop."""
    carried: list[int | None] = []
    for place in range(len(run[0].arguments)):
        values = [step.arguments[place] for step in run]
        before = [list(step.results()) for step in run]
        if len(set(values)) == 1:
            carried.append(None)
            continue
        result = next((r for r, name in enumerate(before[0]) if name == values[1]), None)
        if result is None or any(
            value != results[result] for value, results in zip(values[1:], before, strict=False)
        ):
            return None
        carried.append(result)
    places = [result for result in carried if result is not None]
    # Nothing but the next call may read a result, and each result goes to one argument.
    if len(set(places)) < len(places):
        return None
    for step, after in pairwise(run):
        for result, name in enumerate(step.results()):
            if uses(name) != (after.arguments[carried.index(result)] == name if result in places else 0):
                return None
    return tuple(carried)
