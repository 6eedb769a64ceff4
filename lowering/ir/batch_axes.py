"""The batch axes of a module: where the rows of its arguments and results lie, if no operation mixes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lowering.ir.symbols import Dim


class RowAxis(NamedTuple):
    """An axis of a result along which rows lie. `elements`: how many of its elements are of one row."""

    axis: int
    elements: Dim = 1


@dataclass(frozen=True, slots=True)
class BatchAxes:
    """The axes of one symbol, by the names of arguments and results; others have none.

    A module at a size gives the results that it gives at a larger one, cut, if the rows that are added repeat
    a row.
    """

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[RowAxis, ...]]


class Mixing(NamedTuple):
    """The reason why a symbol is not proved to be a batch axis: `reason`, of the node of that name if any."""

    reason: str
    node: str = ""
