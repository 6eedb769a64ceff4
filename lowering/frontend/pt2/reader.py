"""A `.pt2` file to a `Program` and its `Weights`, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowering.frontend.errors import ArchiveError
from lowering.frontend.pt2.archive import Archive
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.schema import read_program
from lowering.frontend.pt2.weights import check_weights, read_weights
from lowering.ir.program import Program
from lowering.ir.trusting import trusting_calls
from lowering.ir.validate import InvalidProgram, validate
from lowering.ir.weights import Weights
from lowering.passes.errors import PassError
from lowering.passes.pipelines import IMPORT


def read(path: str | Path, model: str | None = None) -> tuple[Program, Weights]:
    """Read a `.pt2` file as torch 2.9 and later write them. No weight is read, only located.

    `model`: which one, where the archive holds several. Raises `ArchiveError`, one sentence that says what is
    wrong with the file, where, and what to do.
    """
    with Archive(path, model) as archive:
        entry = f"models/{archive.model}.json"
        document = archive.document(entry)
        try:
            program = IMPORT.run(read_program(document))
            validate(program)
        except (Malformed, PassError) as problem:
            raise ArchiveError(path, f"{entry}: {problem}") from None
        except InvalidProgram as problem:
            raise ArchiveError(path, f"{entry}: {problem.violations[0]}") from None
        for problem in trusting_calls(program):
            raise ArchiveError(path, problem)
        weights = read_weights(archive)
        try:
            check_weights(program, weights)
        except Malformed as problem:
            raise ArchiveError(path, str(problem)) from None
    return program, weights


def read_document(path: str | Path, model: str | None = None) -> dict[str, Any]:
    """The JSON of a model, as torch wrote it: graph, signature, ranges, guards. Raises ArchiveError."""
    with Archive(path, model) as archive:
        entry = f"models/{archive.model}.json"
        document = archive.document(entry)
    if not isinstance(document, dict):
        raise ArchiveError(path, f"{entry} is not an object")
    return document
