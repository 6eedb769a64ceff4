"""What the in-memory way in answers with where torch cannot go on."""

from __future__ import annotations

from lowering.ir.errors import BridgeError


class ExportError(BridgeError, ValueError):
    """A module that cannot be exported, or an exported program that cannot be translated; one sentence."""


def root_cause(problem: BaseException) -> str:
    """The innermost complaint's first line; torch wraps it in whole tracebacks."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)
