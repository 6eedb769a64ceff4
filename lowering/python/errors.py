"""The refusal of programs that source cannot say."""

from __future__ import annotations

from lowering.ir.errors import BridgeError


class NoSource(BridgeError):
    """A program that has something that source cannot say; the message names all of it."""
