"""The measurements of a program on one machine, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.configuration import ATEN, Configuration
from lowering.targets import choices

# A file that holds more trials than this, or longer texts, is none of ours.
_MAX_TRIALS = 64
_MAX_SEGMENTS = 100_000
_MAX_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration as it was tried.

    `seconds`: of a call, the lower quartile of its turns; None where it could not be timed, for `problem`.
    `against`: its time over that of the best one before, in the same race; the first has 1. `segments`:
    seconds of each segment of the program's own plan, imports included, where there are several.
    """

    name: str
    configuration: Configuration
    seconds: float | None = None
    against: float | None = None
    segments: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search: the machine that it ran on, every trial in order, and the name of the chosen one.

    `problem`: why nothing could be measured, where that is so; the taken one is then the first that builds.
    `complete`: whether every candidate was tried.
    """

    host: Mapping[str, str]
    chosen: str
    trials: tuple[Trial, ...]
    complete: bool = True
    problem: str = ""

    @property
    def configuration(self) -> Configuration:
        """The one that is taken."""
        return next(trial.configuration for trial in self.trials if trial.name == self.chosen)


def to_json(tuning: Tuning) -> dict[str, Any]:
    """The search as plain data."""
    return {
        "host": dict(tuning.host),
        "chosen": tuning.chosen,
        "complete": tuning.complete,
        "problem": tuning.problem,
        "trials": [
            {
                "name": trial.name,
                "choice": trial.configuration.choice,
                "others": dict(trial.configuration.others),
                "moved": dict(trial.configuration.moved),
                "packed": trial.configuration.packed,
                "seconds": trial.seconds,
                "against": trial.against,
                "segments": list(trial.segments),
                "problem": trial.problem,
            }
            for trial in tuning.trials
        ],
    }


def from_json(data: Any) -> Tuning:
    """Read what `to_json` wrote. Raises ValueError, one sentence, for anything else."""
    rows = _typed(data, "trials", list)
    if len(rows) > _MAX_TRIALS:
        raise ValueError(f"it has {len(rows)} trials, the limit is {_MAX_TRIALS}")
    trials = tuple(map(_trial, rows))
    names = [trial.name for trial in trials]
    chosen = _text(data, "chosen")
    if len(set(names)) != len(names) or chosen not in names:
        raise ValueError("its trials do not have the one that was chosen, or have one twice")
    return Tuning(
        _texts(data, "host"), chosen, trials, _typed(data, "complete", bool), _text(data, "problem")
    )


def _trial(row: Any) -> Trial:
    choice, others = _text(row, "choice"), _texts(row, "others")
    known = choices().keys()
    if choice not in known | {ATEN} or not set(others.values()) <= known:
        raise ValueError(f"a trial is of a choice that does not exist: {choice!r}, {sorted(others.values())}")
    configuration = Configuration(choice, others, _texts(row, "moved"), _typed(row, "packed", bool))
    segments = _typed(row, "segments", list)
    if len(segments) > _MAX_SEGMENTS:
        raise ValueError(f"a trial has {len(segments)} segments, the limit is {_MAX_SEGMENTS}")
    return Trial(
        _text(row, "name"),
        configuration,
        _number(row, "seconds"),
        _number(row, "against"),
        tuple(_number({"segments": value}, "segments") or 0.0 for value in segments),
        _text(row, "problem"),
    )


def _typed(row: Any, key: str, kind: type) -> Any:
    value = row.get(key) if isinstance(row, dict) else None
    if type(value) is not kind:
        raise ValueError(f"it has no {key!r} that is of the type {kind.__name__}")
    return value


def _text(row: Any, key: str) -> str:
    text = _typed(row, key, str)
    if len(text) > _MAX_TEXT:
        raise ValueError(f"its {key!r} has {len(text)} characters, the limit is {_MAX_TEXT}")
    return text


def _texts(row: Any, key: str) -> dict[str, str]:
    table = _typed(row, key, dict)
    return {_text({"": name}, ""): _text(table, name) for name in table}


def _number(row: Any, key: str) -> float | None:
    if isinstance(row, dict) and row.get(key, 0) is None:
        return None
    value = _typed(row, key, float)
    if not 0 <= value < float("inf"):
        raise ValueError(f"its {key!r} is {value}")
    return value
