"""Errors of reading files, and of exporting and translating programs in memory."""

from __future__ import annotations

from pathlib import Path

from lowering.ir.errors import BridgeError


class ArchiveError(BridgeError, ValueError):
    """A file that cannot be read. One sentence: the file, the problem, the remedy."""

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = Path(path)
        self.problem = problem


class ExportError(BridgeError, ValueError):
    """A module that cannot be exported, or an exported program that cannot be translated; one sentence."""


def root_cause(problem: BaseException) -> str:
    """The innermost complaint's first line; torch wraps it in whole tracebacks."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)
