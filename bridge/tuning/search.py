"""The search for the fastest configuration: each candidate races the best so far, and the loser goes.

A candidate whose results are not eager's, by the tolerances of `verify`, does not race.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.compilation import compile_configured, compile_split_on_aten
from bridge.configuration import ATEN, AUTO, Configuration
from bridge.errors import first_line
from bridge.tuning.candidates import Candidate, mixed, split, whole
from bridge.tuning.race import Runner, race
from bridge.tuning_record import Trial, Tuning
from bridge.verification.tolerances import allowed_of
from bridge.verification.trial import Reference, first_difference, run_reference
from lowering.ir.plan import Placement

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.planned import Planned

# A race lasts as long as the compilation that it follows, so that all takes twice the time of compiling. It
# lasts at least this long, which resolves a few per cent of a call of a millisecond.
_LEAST_RACE_S = 0.3
# How much faster a candidate must be than one before it, which is simpler.
_MARGIN = 0.98
# One that took so many times as long is not tried in other variants.
_FAR = 1.5
# One that takes less than this part of eager's time is faster beyond doubt. Others race eager once more, for
# this many seconds: a mixture of experts won by 3%, and took 1.07 a moment later.
_CLEAR, _CONFIRMING_S = 0.9, 1.0
# How often a program's segments are timed one by one.
_PROFILES = 5
_EAGER = Configuration(ATEN)
_SEED = 0

Call = Callable[[], tuple[Any, Any]]


class Side(NamedTuple):
    """A program compiled in one configuration, and the keys of the binaries that it took."""

    name: str
    runner: Runner
    used: set[str]


class Search:
    """One search. `call`: arguments for one call, copies where the program writes to them. `tune`: seconds
    that all may take, None for as long as compiling takes again. `before`: the record of an earlier
    search."""

    def __init__(
        self, lowered: Planned, device: str, call: Call, tune: float | None, before: Tuning | None
    ) -> None:
        self._lowered = lowered
        self._device = device
        self._call = call
        self._end = None if tune is None else time.perf_counter() + tune
        self._trials = {trial.name: trial for trial in before.trials} if before is not None else {}
        self._complete = True
        self._several = sum(s.placement is Placement.STABLEHLO for s in lowered.plan.segments) > 1
        self._best: Side | None = None
        self._expected: Reference | None = None
        if before is not None and before.trials:
            self._best = self._side(before.chosen, before.configuration)

    def run(self, host: Mapping[str, str]) -> tuple[Tuning, Side | None]:
        """The record, and the side that won; None where nothing runs."""
        with _generator_kept():
            for name, configuration in self._candidates():
                if name in self._trials:
                    continue
                if self._end is not None and self._best is not None and time.perf_counter() > self._end:
                    self._complete = False
                    break
                self._trials[name] = self._try(name, configuration)
            self._confirm()
        chosen = self._best.name if self._best is not None else ""
        return Tuning(host, chosen, tuple(self._trials.values()), self._complete), self._best

    def _candidates(self) -> Iterator[Candidate]:
        lowered = self._lowered
        yield from whole(lowered.functional, lowered.plan, self._device)
        yield from split(lowered.functional, lowered.plan, self._device, self._lost)
        spent = {name: trial.segments for name, trial in self._trials.items() if trial.segments}
        found = mixed(lowered.plan, spent)
        if found is not None:
            yield found

    def _lost(self, name: str) -> bool:
        """Whether a candidate failed, or took far longer than the best one."""
        against = self._trials[name].against
        return against is None or against > _FAR

    def _try(self, name: str, configuration: Configuration) -> Trial:
        start = time.perf_counter()
        used: set[str] = set()
        try:
            compiled = compile_configured(self._lowered, configuration, self._device, AUTO, used)
            spent = time.perf_counter() - start
            places = {segment.placement for segment in compiled.report.plan.segments}
            if configuration.choice != ATEN and places == {Placement.ATEN}:
                return Trial(name, configuration, problem="no engine takes any of it")
            problem = self._difference(compiled, configuration)
            if problem:
                return Trial(name, configuration, problem=f"differs from eager: {problem}"[:400])
            segments = self._profile(compiled, configuration) if self._several else ()
            runner = Runner(compiled, self._call)
        except Exception as error:  # whatever an engine, or an operator on these inputs, raises
            return Trial(name, configuration, problem=f"{type(error).__name__}: {first_line(error)}"[:400])
        side = Side(name, runner, used)
        if self._best is None:
            self._best = side
            return Trial(name, configuration, runner.turn(), 1.0, segments)
        best, seconds = race(self._best.runner, runner, self._time_of_race(spent))
        if seconds < _MARGIN * best:
            self._best = side
        return Trial(name, configuration, seconds, seconds / best, segments)

    def _confirm(self) -> None:
        """Race a winner that was ahead of eager's own operators by little once more.

        Other work of the machine may have decided a race of a second; by now it does something else.
        """
        best, eager = self._best, self._trials.get(ATEN)
        if best is None or best.name == ATEN or eager is None or eager.seconds is None:
            return
        trial = self._trials[best.name]
        if trial.seconds is None or trial.seconds < _CLEAR * eager.seconds:
            return
        plain = self._side(ATEN, _EAGER)
        ahead, seconds = race(plain.runner, best.runner, self._time_of_race(_CONFIRMING_S))
        self._trials[best.name] = replace(trial, seconds=seconds, against=seconds / ahead)
        if seconds >= _MARGIN * ahead:
            self._best = plain

    def _side(self, name: str, configuration: Configuration) -> Side:
        used: set[str] = set()
        compiled = compile_configured(self._lowered, configuration, self._device, AUTO, used)
        return Side(name, Runner(compiled, self._call), used)

    def _difference(self, compiled: Compiled, configuration: Configuration) -> str:
        """The difference of a call from eager's: all on ATen, as it is."""
        if self._expected is None:
            plain = compiled
            if configuration != _EAGER:
                plain = compile_configured(self._lowered, _EAGER, self._device, AUTO)
            self._expected = run_reference(plain, self._call(), 1, _SEED)
        if configuration == _EAGER:
            return ""
        allowed = allowed_of(self._lowered.program)
        return first_difference(compiled, self._call(), self._expected, allowed, _SEED)

    def _time_of_race(self, compiling: float) -> float:
        if self._end is None:
            return max(_LEAST_RACE_S, compiling)
        return max(_LEAST_RACE_S, min(compiling, self._end - time.perf_counter()))

    def _profile(self, compiled: Compiled, configuration: Configuration) -> tuple[float, ...]:
        """The least seconds of each segment of the program's own plan in several calls; of others none."""
        if configuration.choice == ATEN:
            compiled = compile_split_on_aten(self._lowered)
        elif compiled.report.plan != self._lowered.plan:
            return ()
        rows = []
        for _ in range(_PROFILES):
            args, kwargs = self._call()
            rows.append(compiled.profile_call(args, kwargs, kernels=False).step_seconds)
        return tuple(min(column) for column in zip(*rows, strict=True))


@contextmanager
def _generator_kept() -> Iterator[None]:
    """torch's generator is afterwards as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        yield
