"""The errors that Bridge raises for a user's mistake or a file's. Each message is one sentence that can stand
alone."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.errors import BridgeError

__all__ = ["ArtifactError", "BridgeError", "NotLowered", "OperatorRefused", "UsageError", "first_line"]


class ArtifactError(BridgeError):
    """An artifact is missing, damaged, or of a kind this version does not read."""


class UsageError(BridgeError):
    """The request names something that does not exist, or does not fit together."""


class OperatorRefused(BridgeError):
    """A program has an operator that a file may not have ATen run, and that no rule lowers."""


class NotLowered(BridgeError):
    """A program that was to lower as a whole leaves nodes to ATen. `gaps`: each with its reason."""

    def __init__(self, gaps: Mapping[str, str]) -> None:
        lines = [f"{node}: {' '.join(reason.split())}" for node, reason in gaps.items()]
        count = f"{len(lines)} node{'s' if len(lines) > 1 else ''}"
        super().__init__("\n  ".join([f"{count} would run on ATen:", *lines]))
        self.gaps = dict(gaps)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; others' messages run to pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
