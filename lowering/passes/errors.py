"""The errors of a pass for a program that it cannot take."""

from __future__ import annotations

from lowering.ir.errors import BridgeError
from lowering.ir.program import Node


class PassError(BridgeError, ValueError):
    """A program that a pass cannot take: the node, its operator, the problem."""


class NotFunctional(Exception):
    """The program writes in a way that values cannot express; it has to run as it is.

    `reason`: why, as a sentence. `node`: the node that does it, or None if it is the program as a whole.
    """

    def __init__(self, reason: str, node: Node | None = None) -> None:
        where = ""
        if node is not None:
            location = str(node.location)
            where = f"node {node.name}, {node.target}{f' ({location})' if location else ''}: "
        super().__init__(where + reason)
        self.reason = reason
        self.node = node
