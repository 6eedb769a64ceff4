"""One case: a module exported, lowered, called several times in a row, each call compared with eager's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from bridge.lowered import lower_program
from lowering.frontend.errors import ExportError
from lowering.frontend.exported_program import export, from_exported_program
from tests.opdb.cases import Row, Word, clones, explain, on_aten
from tests.opdb.compare import compare
from tests.opdb.fingerprint import recording

# Before the n-th call the generator is seeded with this and n, for eager and for the program.
_SEED = 1000


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A module and calls of it. `example`: what it is exported with. `make`: a new one, always the same."""

    name: str
    make: Callable[[], torch.nn.Module]
    example: Arguments
    calls: tuple[Arguments, ...]
    dynamic_shapes: Any = None


def judge(case: Case, engine: str) -> Row:
    """What the case ends in, with the reason where that is not `lowered`."""
    try:
        given = copied(case.example)
        exported = export(case.make(), given.args, given.kwargs, case.dynamic_shapes)
    except Exception as error:  # torch's many complaints, and those of the module's own checks
        return Row(case.name, Word.NOT_EXPORTABLE.value, explain(error))
    row = Row(case.name, Word.FAILED.value)
    with recording() as row.rules:
        try:
            program, weights = from_exported_program(exported)
            lowered = lower_program(program, weights)
        except ExportError as error:
            translated = str(error).startswith("cannot translate")
            row.word = (Word.FAILED if translated else Word.NOT_EXPORTABLE).value
            row.reason = str(error)
            return row
        except Exception as error:
            row.reason = f"lowering: {explain(error)}"
            return row
    row.targets = sorted({node.target for node in lowered.program.graph.nodes})
    try:
        compiled = lowered.compile(engine, on_new_size="wait")
        row.reason, row.factor = _difference(case, compiled, lambda: _buffers(compiled))
        row.word = Word.DIFFERENT.value
        row.aten = on_aten(lowered, compiled)
    except Exception as error:
        row.reason = explain(error)
        compiled = None
    if row.reason:
        problem = _exporters_fault(case, exported)
        if problem:
            row.word, row.reason = Word.NOT_EXPORTABLE.value, f"torch.export's own program {problem}"
        return row
    fallbacks = compiled.report.fallbacks if compiled is not None else ()
    row.word = (Word.MIXED if row.aten or fallbacks else Word.LOWERED).value
    row.reason = "; ".join(fallback.reason for fallback in fallbacks)
    return row


def copied(call: Arguments) -> Arguments:
    """A call with copies of its tensors."""
    leaves, spec = pytree.tree_flatten((call.args, call.kwargs))
    copies = iter(clones([leaf.detach() for leaf in leaves if isinstance(leaf, torch.Tensor)]))
    leaves = [next(copies) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
    return Arguments(*pytree.tree_unflatten(leaves, spec))


def _exporters_fault(case: Case, exported: torch.export.ExportedProgram) -> str:
    """What is wrong with the exported program when torch itself runs it; empty where it equals eager."""
    module = copy.deepcopy(exported).module()
    try:
        problem, _ = _difference(case, module, lambda: dict(module.named_buffers()))
    except Exception as error:
        return f"fails: {explain(error)}"
    return f"is not eager's: {problem}" if problem else ""


def _difference(
    case: Case, program: Callable[..., Any], buffers: Callable[[], dict[str, Any]]
) -> tuple[str, int]:
    """Where the calls differ from eager's, and how many times the tolerance they took.

    Compared are results and their structure, arguments and buffers afterwards, and the generator's state.
    """
    eager = case.make()
    factor = 1
    for index, call in enumerate(case.calls):
        theirs, own = copied(call), copied(call)
        with torch.no_grad():
            torch.manual_seed(_SEED + index)
            want = eager(*theirs.args, **theirs.kwargs)
            drawn = torch.get_rng_state()
            torch.manual_seed(_SEED + index)
            got = program(*own.args, **own.kwargs)
        wanted = dict(eager.named_buffers())
        found = buffers()
        parts = (
            ("results", got, want),
            ("arguments", (own.args, own.kwargs), (theirs.args, theirs.kwargs)),
            (
                "buffers",
                {name: found[name] for name in wanted if name in found},
                {n: b for n, b in wanted.items() if n in found},
            ),
        )
        for what, a, b in parts:
            (mine, spec), (true, as_wanted) = pytree.tree_flatten(a), pytree.tree_flatten(b)
            if spec != as_wanted:
                return f"call {index}: {what}: the structure is {spec}, eager's {as_wanted}", factor
            verdict = compare("", "", (), mine, true)
            if verdict.problem:
                return f"call {index}: {what}: {verdict.problem}", factor
            factor = max(factor, verdict.factor)
        if not torch.equal(torch.get_rng_state(), drawn):
            return f"call {index}: the generator has drawn another number of times", factor
    return "", factor


def _buffers(compiled: Any) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(value) for name, value in compiled.buffers.items()}
