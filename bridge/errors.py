"""The errors that Bridge raises for a user's mistake or a file's. Each message is one sentence that can stand
alone."""

from __future__ import annotations

from lowering.ir.errors import BridgeError

__all__ = ["ArtifactError", "BridgeError", "OperatorRefused", "UsageError", "first_line"]


class ArtifactError(BridgeError):
    """An artifact is missing, damaged, or of a kind this version does not read."""


class UsageError(BridgeError):
    """The request names something that does not exist, or does not fit together."""


class OperatorRefused(BridgeError):
    """A program has an operator that a file may not have ATen run, and that no rule lowers."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; others' messages run to pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
