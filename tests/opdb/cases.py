"""One case: a sample input as a program, lowered, run, compared; what it ended in and what it rested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch.utils import _pytree as pytree

from bridge.errors import OperatorRefused, first_line
from bridge.lowered import Lowered, lower_program
from lowering.frontend.errors import ExportError
from lowering.frontend.exported_program import export, from_exported_program
from lowering.ir.plan import Placement
from lowering.ir.program import Graph
from lowering.passes.partition import TOO_SMALL
from tests.opdb.compare import compare
from tests.opdb.fingerprint import Sources, fingerprint, recording
from tests.opdb.selection import REFUSED

# What op_db's own wrappers seed random operators with; the exporter does not see them do so.
_SEED = 42


class Word(Enum):
    """What a case ends in."""

    LOWERED = "lowered"  # all of it StableHLO, and equal to eager
    MIXED = "mixed"  # equal, some nodes on ATen
    DIFFERENT = "different"
    FAILED = "failed"  # an exception that is not the exporter's, a crash, a timeout
    NOT_EXPORTABLE = "not exportable"
    REFUSED = "refused"  # as decision 28 has it: an operator that a file may not have ATen run


@dataclass
class Row:
    """The outcome of one case, as it is kept.

    `targets`: the overloads in the program. `aten`: of these the ones that ran on ATen, with the reason.
    `rules`: every overload whose rule was looked for, with the module that had it, or the empty string.
    `factor`: how many times the tolerance it took.
    """

    case: str
    word: str
    reason: str = ""
    targets: list[str] = field(default_factory=list)
    aten: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    factor: int = 1
    #: How many samples the operator has for this dtype.
    of: int = 0
    #: Hashes; `stamp` is of the sources, `fingerprint` of what was compiled and run.
    stamp: str = ""
    fingerprint: str = ""


class Call(torch.nn.Module):
    """An operator as a module: the sample's tensors are its inputs, everything else is closed over."""

    def __init__(self, op: Callable[..., Any], sample: Any) -> None:
        super().__init__()
        self._op = op
        leaves, self._spec = pytree.tree_flatten((sample.input, tuple(sample.args), dict(sample.kwargs)))
        self._leaves = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self._places = [at for at, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.stable = bool(sample.kwargs.get("stable"))
        self.tensors = tuple(leaves[at].detach() for at in self._places)

    def forward(self, *tensors: torch.Tensor) -> tuple[Any, ...]:
        leaves = list(self._leaves)
        for at, tensor in zip(self._places, tensors, strict=True):
            leaves[at] = tensor
        first, args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        return tuple(pytree.tree_leaves(self._op(first, *args, **kwargs)))


def run_case(
    case: str, op: Callable[..., Any], sample: Any, engine: str, sources: Sources, before: Row | None
) -> Row:
    """Take one sample all the way. `before`: what it ended in last time; stands where nothing changed."""
    name, dtype, _ = case.split("/")
    torch.manual_seed(_SEED)
    try:
        call = Call(op, sample)
        exported = export(call, clones(call.tensors))
    except Exception as error:  # torch's many complaints, and those of the operator's own checks
        return Row(case, Word.NOT_EXPORTABLE.value, explain(error))
    with recording() as rules:
        try:
            program, weights = from_exported_program(exported)
        except ExportError as error:
            translated = str(error).startswith("cannot translate")
            word = Word.FAILED if translated else Word.NOT_EXPORTABLE
            return Row(case, word.value, str(error))
        try:
            lowered = lower_program(program, weights)
        except Exception as error:
            if isinstance(error, OperatorRefused) and name in REFUSED:
                return Row(case, Word.REFUSED.value, explain(error), rules=rules)
            return Row(case, Word.FAILED.value, f"lowering: {explain(error)}", rules=rules)
    targets = sorted(set(_targets(lowered.program.graph)))
    row = Row(case, Word.FAILED.value, targets=targets, rules=rules, stamp=sources.stamp(engine, rules))
    row.fingerprint = fingerprint(lowered, call.tensors, engine, sources)
    if before is not None and before.fingerprint == row.fingerprint and before.word != Word.FAILED.value:
        return Row(**{**vars(before), "rules": rules, "stamp": row.stamp})
    try:
        _judge(row, name, dtype, call, lowered, engine)
    except Exception as error:
        row.reason = explain(error)
    if row.word in (Word.FAILED.value, Word.DIFFERENT.value):
        problem = _exporters_fault(name, dtype, call, exported)
        if problem:
            row.word, row.reason = Word.NOT_EXPORTABLE.value, f"torch.export's own program {problem}"
    return row


def _exporters_fault(name: str, dtype: str, call: Call, exported: torch.export.ExportedProgram) -> str:
    """What is wrong with the exported program when torch itself runs it; empty where it equals eager."""
    torch.manual_seed(_SEED)
    with torch.no_grad():
        want = call(*clones(call.tensors))
        torch.manual_seed(_SEED)
        try:
            got = exported.module()(*clones(call.tensors))
        except Exception as error:
            return f"fails: {explain(error)}"
    problem = compare(name, dtype, call.tensors, got, want).problem
    return f"is not eager's: {problem}" if problem else ""


def _judge(row: Row, name: str, dtype: str, call: Call, lowered: Lowered, engine: str) -> None:
    expected_inputs, inputs = clones(call.tensors), clones(call.tensors)
    torch.manual_seed(_SEED)
    with torch.no_grad():
        want = call(*expected_inputs)
    compiled = lowered.compile(engine)
    torch.manual_seed(_SEED)
    got = compiled(*inputs)
    verdict = compare(name, dtype, call.tensors, got, want, call.stable)
    if not verdict.problem:
        written = compare(name, dtype, call.tensors, inputs, expected_inputs)
        verdict = written if written.problem else verdict
    row.factor = verdict.factor
    row.aten = on_aten(lowered, compiled)
    if verdict.problem:
        row.word, row.reason = Word.DIFFERENT.value, verdict.problem
    else:
        row.word = (Word.MIXED if row.aten or compiled.report.fallbacks else Word.LOWERED).value
        row.reason = "; ".join(f.reason for f in compiled.report.fallbacks)


def on_aten(lowered: Lowered, compiled: Any) -> dict[str, str]:
    """The overloads that this program leaves to ATen, with the reason; followers of others come last."""
    plan = compiled.report.plan
    names = {n for s in plan.segments if s.placement is Placement.ATEN for n in s.nodes}
    source = lowered.program if lowered.not_functional else lowered.functional
    found: dict[str, str] = {}
    for node in source.graph.nodes:
        if node.name in names:
            reason = plan.reasons.get(node.name, "")
            if node.target not in found or found[node.target].startswith(TOO_SMALL):
                found[node.target] = reason
    return found


def _targets(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield node.target
        for argument in node.args:
            if isinstance(argument.value, Graph):
                yield from _targets(argument.value)


def clones(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Copies with the same strides; inputs share no memory, but views keep what is around them."""
    return tuple(_clone(tensor) for tensor in tensors)


def _clone(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
        return tensor.clone()
    storage = tensor.untyped_storage().clone()
    made = torch.empty(0, dtype=tensor.dtype)
    return made.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def explain(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    return f"{type(error).__name__}: {first_line(error)}"[:300]
