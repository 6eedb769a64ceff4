"""Passes and pipelines: each rewrite is a value with a name; a list of them is run, verified and shown.

A pass takes a subject and gives one of the same kind: a `Program`, the nodes of a segment, an MLIR module. A
caller asks to see a run (`Observation`) around it, not through its arguments.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar

from lowering.ir.errors import BridgeError

S = TypeVar("S")

Option = bool | int | float | str | None


class PipelineError(BridgeError, ValueError):
    """A pass that is not there, or a pipeline whose passes do not fit together."""


@dataclass(frozen=True)
class Pass(Generic[S]):
    """One rewrite.

    `name`: unique in its pipeline. `run`: the rewrite; it gives back the very subject it was given where it
    changes nothing, if it can. `summary`: one sentence. `options`: the options that made `run`; part of the
    pass's identity. `requires` and `ensures`: properties of the subject (`Pipeline.properties`) before and
    after; one that was ensured holds to the end. `required`: whether results are wrong without it, so that no
    bisection leaves it out.
    """

    name: str
    run: Callable[[S], S]
    summary: str
    options: Mapping[str, Option] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    ensures: tuple[str, ...] = ()
    required: bool = False

    def identity(self) -> str:
        """The name with its options: `channels-last{taps=True}`."""
        options = ", ".join(f"{name}={value!r}" for name, value in sorted(self.options.items()))
        return f"{self.name}{{{options}}}" if options else self.name


def listed(package: str, place: str, *context: Any) -> Pass[Any]:
    """The pass at a place of a package, `file:NAME`; with context, the result of the function there.

    So a pipeline's line is all that names a pass.
    """
    file, _, name = place.partition(":")
    found = getattr(import_module(f"{package}.{file}"), name)
    return found(*context) if context else found


class Timing(NamedTuple):
    """How long a pass took."""

    pipeline: str
    name: str
    seconds: float


@dataclass
class Observation:
    """A caller's wishes on the pipelines that run inside `observed(...)`.

    `tell`: gets a text for each pass in `after`, or, with `changed`, for each that changed its subject.
    `until`: how many passes run, over all pipelines, before those that are not required are left out.
    `verify`: whether each pass is followed by the pipeline's checks; by default, as tests set
    `BRIDGE_VERIFY_PASSES`. `timings` and `count` are added to.
    """

    tell: Callable[[str], None] = print
    after: frozenset[str] = frozenset()
    changed: bool = False
    until: int | None = None
    verify: bool = field(default_factory=lambda: bool(os.environ.get("BRIDGE_VERIFY_PASSES")))
    timings: list[Timing] = field(default_factory=list)
    count: int = 0

    def shows(self, name: str) -> bool:
        return self.changed or name in self.after

    def leaves_out(self, item: Pass[Any]) -> bool:
        return self.until is not None and self.count >= self.until and not item.required


_CURRENT: ContextVar[Observation | None] = ContextVar("observation", default=None)


def is_observed() -> bool:
    """Whether a caller wants to see passes, or leaves some out. Then they must run, and their results are the
    caller's alone."""
    return _CURRENT.get() is not None


@contextmanager
def observed(observation: Observation) -> Iterator[Observation]:
    """Pipelines that run inside do what the observation says."""
    token = _CURRENT.set(observation)
    try:
        yield observation
    finally:
        _CURRENT.reset(token)


@dataclass(frozen=True)
class Pipeline(Generic[S]):
    """Passes in their order.

    `subject`: the kind of value that they rewrite. `verify`: raises where a subject is not well-formed.
    `show`: a subject as text, which also tells whether a pass changed it. `properties`: the properties that
    passes ensure, by name, with the check that raises where one does not hold. `given`: properties that hold
    before the first pass.

    Raises PipelineError for two passes of one name, and for a pass that requires a property that no earlier
    one ensures. A pass that bisection never leaves out needs an earlier one of that kind.
    """

    name: str
    subject: str
    passes: tuple[Pass[S], ...]
    verify: Callable[[S], None]
    show: Callable[[S], str]
    properties: Mapping[str, Callable[[S], None]] = field(default_factory=dict)
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        holding, always, seen = set(self.given), set(self.given), set[str]()
        for item in self.passes:
            if item.name in seen:
                raise PipelineError(f"the pipeline {self.name} has two passes named {item.name}")
            where = f"the pass {item.name} of {self.name}"
            if missing := [name for name in item.requires if name not in holding]:
                raise PipelineError(f"{where} requires {missing[0]}, which no pass before it ensures")
            if item.required and (missing := [name for name in item.requires if name not in always]):
                raise PipelineError(f"{where} requires {missing[0]}, which a bisection may leave out")
            seen.add(item.name)
            holding.update(item.ensures)
            always.update(item.ensures if item.required else ())

    def identity(self) -> str:
        """The key of results: the name, and each pass with its options."""
        return f"{self.name}({', '.join(item.identity() for item in self.passes)})"

    def run(self, subject: S) -> S:
        """The subject after all passes. Errors of a pass go through as they are."""
        observation = _CURRENT.get() or Observation()
        holding = set(self.given)
        for item in self.passes:
            if observation.leaves_out(item):
                continue
            subject = self._step(item, subject, observation)
            holding.update(item.ensures)
            if observation.verify:
                self._check(item, subject, holding)
        return subject

    def _step(self, item: Pass[S], subject: S, observation: Observation) -> S:
        observation.count += 1
        before = self.show(subject) if observation.changed else ""
        began = time.perf_counter()
        made = item.run(subject)
        observation.timings.append(Timing(self.name, item.name, time.perf_counter() - began))
        if observation.shows(item.name):
            text = self.show(made)
            if item.name in observation.after or text != before:
                observation.tell(f"// {observation.count}: {self.name}, after {item.identity()}\n{text}")
        return made

    def _check(self, item: Pass[S], subject: S, holding: set[str]) -> None:
        try:
            self.verify(subject)
            for name in sorted(holding & self.properties.keys()):
                self.properties[name](subject)
        except Exception as error:
            error.add_note(f"after the pass {item.name} of the pipeline {self.name}")
            raise
