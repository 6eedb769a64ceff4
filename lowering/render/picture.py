"""`Picture`: boxes in groups, and the edges between them, before any format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lowering.ir.plan import Placement


class BoxKind(Enum):
    """The part of a program that a box stands for."""

    INPUT = "input"
    WEIGHT = "weight"
    OPERATOR = "operator"
    FOLDED = "folded"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Box:
    """A box with a title and more lines. `nodes`: the program's nodes that it stands for, by name."""

    kind: BoxKind
    title: str
    lines: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


# A box by its index in the picture, or a group in a group.
Item: TypeAlias = "int | Group"


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes and groups under one title: a module's, or a segment's, which has a placement."""

    title: str
    items: tuple[Item, ...]
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """Values that pass from one box to another, both by index. `weight`: they come from a weight."""

    source: int
    target: int
    label: str
    weight: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it. `items` has the boxes and groups that no group has; each box is an item once."""

    title: str
    boxes: tuple[Box, ...]
    items: tuple[Item, ...]
    edges: tuple[Edge, ...]


#: Fill and border, as `#rrggbb`, of boxes by kind, and of segments by placement.
BOX_COLOURS = {
    BoxKind.INPUT: ("#e8f0fe", "#1a56c4"),
    BoxKind.WEIGHT: ("#f3f4f6", "#6b7280"),
    BoxKind.OPERATOR: ("#ffffff", "#374151"),
    BoxKind.FOLDED: ("#fdf6e3", "#a16207"),
    BoxKind.OUTPUT: ("#f3e8ff", "#7e22ce"),
}
SEGMENT_COLOURS = {
    Placement.STABLEHLO: ("#ecfdf5", "#059669"),
    Placement.ATEN: ("#fff1e6", "#d9480f"),
}
MODULE_COLOUR = "#9ca3af"
