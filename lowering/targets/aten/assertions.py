"""Assertions about numbers from the data, told in the program's words rather than in symbols."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.claims import claim
from lowering.ir.program import Graph
from lowering.ir.symbols import Scalar


def told(text: str, graph: Graph, symbols: Mapping[str, Scalar]) -> str | None:
    """The exporter's `... failed for expression u0 <= 10 ...` as `the program takes item <= 10, but item is
    11`, where `item` is the node that found u0, followed by its source line; None where it says other things.
    """
    found = claim(text, graph)
    if found is None:
        return None
    came = ", ".join(f"{word} is {symbols[name]}" for name, word in found.words.items() if name in symbols)
    return f"the program takes {found.text}{', but ' * bool(came)}{came}{found.where}"
