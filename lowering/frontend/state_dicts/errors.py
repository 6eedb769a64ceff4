"""Errors of reading weights."""

from __future__ import annotations

from lowering.frontend.errors import ArchiveError


class StateDictError(ArchiveError):
    """Weights that cannot be read. One sentence: the file, the problem, the remedy."""


class UnknownPickle(StateDictError):
    """A pickle that holds more than tensors, numbers, text and containers."""
