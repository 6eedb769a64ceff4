"""What a pass answers a program with that it cannot take."""

from __future__ import annotations

from lowering.ir.errors import BridgeError


class PassError(BridgeError, ValueError):
    """A program that a pass cannot take: the node, its operator, the problem."""
