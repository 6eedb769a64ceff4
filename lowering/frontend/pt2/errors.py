"""Errors of reading the documents of a `.pt2` file."""

from __future__ import annotations

from lowering.ir.errors import BridgeError


class Malformed(BridgeError, ValueError):
    """A document that is not what torch's schema says. Carries the place, as a path into the JSON."""

    def __init__(self, problem: str, step: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self._steps = [step] if step else []

    def within(self, step: str) -> Malformed:
        """The same complaint, seen from one level further out."""
        self._steps.append(step)
        return self

    @property
    def where(self) -> str:
        """The place: `graph_module.graph.nodes[3].inputs[0].arg`; empty for the document itself."""
        return ".".join(reversed(self._steps)).replace(".[", "[")

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self._steps else self.problem
