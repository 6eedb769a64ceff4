"""`Plan`: which nodes run where, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lowering.ir.short_repr import ShortRepr


class Placement(Enum):
    """Where a segment runs."""

    STABLEHLO = "stablehlo"
    ATEN = "aten"


@dataclass(frozen=True, slots=True, repr=False)
class Segment(ShortRepr):
    """A convex run of nodes of the program's main graph that is executed as one unit.

    `nodes` are node names in execution order. `inputs` are the values that the segment reads from program
    inputs or earlier segments. `outputs` are its values that later segments or the program's outputs read.
    """

    index: int
    placement: Placement
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Plan(ShortRepr):
    """Segments in execution order. `reasons`: for each node on ATen, one sentence that says why."""

    segments: tuple[Segment, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
