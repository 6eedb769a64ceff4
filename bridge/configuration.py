"""Where each part of a program runs: the choices there are, and one decision for a whole program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lowering.ir.plan import Segment
from lowering.targets import HOST_NAME, choices
from lowering.targets.target import Choice

#: The choice of a program that runs on the host target alone, and not on an engine.
ATEN = HOST_NAME
#: The engine that measurement chooses, of all that there are.
AUTO = "auto"


def choice_named(name: str) -> Choice:
    """A choice of `choices()`; by any other name, the engine that an installed package brings."""
    return choices().get(name) or Choice(name)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run a program.

    `choice`: see `choice_named`, for all segments but those with a node in `others`; or ATEN. `others`: the
    choice of the segment that a node is in. `moved`: nodes that run on ATen though they lower, with the
    reason. `packed`: nodes on ATen have their weights laid out for oneDNN.
    """

    choice: str
    others: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    packed: bool = False

    def choice_of(self, segment: Segment) -> str:
        """The choice of a StableHLO segment."""
        if not self.others:
            return self.choice
        return next((self.others[name] for name in segment.nodes if name in self.others), self.choice)

    def engines(self) -> tuple[str, ...]:
        """The names of the engines it takes, each once."""
        names = (self.choice, *self.others.values())
        return tuple(dict.fromkeys(choice_named(name).engine for name in names if name != ATEN))
