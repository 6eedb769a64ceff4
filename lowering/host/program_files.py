"""Programs as files of JSON: the program alone, without weights."""

from __future__ import annotations

import json
from pathlib import Path

from lowering.host.drafts import draft_file
from lowering.ir.json import JSONError, from_json, to_json
from lowering.ir.program import Program
from lowering.ir.trusting import trusting_calls
from lowering.ir.validate import InvalidProgram, validate

#: A program of 100,000 nodes with their stack traces has some 200 MB.
MAX_BYTES = 512 << 20


def save_program(program: Program, path: Path) -> Path:
    """Write a program, all or nothing; gives the path.

    Raises OSError where the file cannot be written, InvalidProgram for a call that no file may make.
    """
    _check_calls(program, path)
    text = json.dumps(to_json(program), separators=(",", ":"))
    with draft_file(path) as (draft, file):
        file.write(text.encode())
        file.flush()
        draft.replace(path)
    return path


def load_program(path: Path) -> Program:
    """Read a program that `save_program` wrote, and check every rule.

    Raises JSONError and InvalidProgram, both with the file.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise JSONError(f"{path}: it has {size} bytes; {MAX_BYTES} are allowed")
        data = json.loads(path.read_bytes())
    except OSError as problem:
        raise JSONError(f"{path}: it cannot be read: {problem.strerror}") from None
    except JSONError:
        raise
    except (ValueError, RecursionError) as problem:
        raise JSONError(f"{path}: it is not JSON: {problem}") from None
    try:
        program = from_json(data)
        validate(program)
    except JSONError as problem:
        raise JSONError(f"{path}: {problem}") from None
    except InvalidProgram as problem:
        violations = [f"{path}: {text}" for text in problem.violations]
        raise InvalidProgram(violations, list(problem.rules)) from None
    _check_calls(program, path)
    return program


def _check_calls(program: Program, path: Path) -> None:
    if problems := [f"{path}: {text}" for text in trusting_calls(program)]:
        raise InvalidProgram(problems)
