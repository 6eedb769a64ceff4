"""What an engine refuses: its errors, how many cases each moved to ATen, and a module that shows it.

The module is cut out of the smallest case with the error, here and now, and shown only if the engine refuses
it with that very error. Examples that were found are kept beside the results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from bridge.lowered import Lowered, lower_program
from lowering.frontend.exported_program import export, from_exported_program
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.program import Arg, Node, Ref
from lowering.ir.types import TensorType
from lowering.stablehlo import hlo
from lowering.stablehlo.emit import emit_module
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.value import Value
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.opdb import selection, store
from tests.opdb.cases import Call, Row, clones

# A longer module is not shown.
_LINES = 40
# How many cases, and compilations in each, are tried for an example.
_CASES, _TRIALS = 3, 40
# How far back from an operation its operands are taken along, one attempt after the other.
_DEPTHS = (0, 1, 2, 4, 1000)

_PREFIX = re.compile(r'^(?:\w+: )*\w+ (?:segment_\d+|alone): |^loc\("[^"]*"\): ')


@dataclass
class Refusal:
    """One error of an engine: the cases and overloads that it moved to ATen, by dtype."""

    text: str
    rows: list[Row] = field(default_factory=list)
    overloads: set[str] = field(default_factory=set)
    dtypes: set[str] = field(default_factory=set)


@dataclass
class Example:
    """A StableHLO module, as text, from this case. `version`: of the engine that refuses it."""

    case: str
    module: str
    text: str
    version: str


def section(engine: str, rows: Iterable[Row]) -> list[str]:
    """Of each distinct error of an engine: text, cases, overloads, and a module."""
    lines = [
        "Each error that moved a node to ATen though it lowers: the engine's words, the cases and overloads, "
        "and the smallest module found that is refused with them.",
        "",
    ]
    for refusal in refusals(engine, rows):
        shown = example(engine, refusal)
        cases = len({row.case for row in refusal.rows})
        dtypes = ", ".join(dtype for dtype in selection.DTYPES if dtype in refusal.dtypes)
        overloads = ", ".join(f"`{name}`" for name in sorted(refusal.overloads))
        lines += [f"### {shown.text if shown else refusal.text}", ""]
        lines += [f"{cases} case{'s' * (cases > 1)} ({dtypes}): {overloads}.", ""]
        if shown is None:
            lines += [f"No small module shows it; `{_smallest(refusal)[0].case}` does.", ""]
        else:
            lines += [f"From `{shown.case}`:", "", "```mlir", shown.module.strip(), "```", ""]
    return lines


def refusals(engine: str, rows: Iterable[Row]) -> list[Refusal]:
    """The distinct errors, numbers aside, those of most cases first."""
    found: dict[str, Refusal] = {}
    for row in rows:
        for overload, reason in row.aten.items():
            if not reason.startswith(f"{engine}: "):
                continue
            text = error_text(reason)
            refusal = found.setdefault(_kind(text), Refusal(text))
            refusal.rows.append(row)
            refusal.overloads.add(overload)
            refusal.dtypes.add(row.case.split("/")[1])
    return sorted(found.values(), key=lambda refusal: (-len(refusal.rows), refusal.text))


def error_text(reason: str) -> str:
    """The engine's own words in a reason: without its name, the segment's, and how often it refused."""
    reason = re.sub(r" \(the last of \d+ refusals\)$", "", reason)
    while (shorter := _PREFIX.sub("", reason)) != reason:
        reason = shorter
    return reason


def _kind(text: str) -> str:
    """What errors have in common that differ by sizes only."""
    return re.sub(r"\b\d[\d,]*\b|\d+(?=x)", "N", text)


def _smallest(refusal: Refusal) -> list[Row]:
    return sorted(refusal.rows, key=lambda row: (len(row.targets), row.case))


# ------------------------------------------------------------------------------ examples


def example(engine: str, refusal: Refusal) -> Example | None:
    """A module that the engine refuses in these words, kept from before or found now; None if there is none
    of at most `_LINES` lines."""
    path = store.FOLDER / f"{engine}-errors.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    kind, version = _kind(refusal.text), get_engine(engine).version()
    if kind not in kept or kept[kind]["version"] != version:
        found = _find(engine, refusal)
        kept[kind] = asdict(found or Example("", "", "", version))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1, sort_keys=True))
    return Example(**kept[kind]) if kept[kind]["module"] else None


def _find(engine: str, refusal: Refusal) -> Example | None:
    wanted = _kind(refusal.text)
    for row in _smallest(refusal)[:_CASES]:
        for module in _modules(row, set(row.aten)):
            trials = 0
            for small in _cuts(module, refusal.text):
                text = hlo.text_of(small.code)
                if len(text.splitlines()) > _LINES:
                    continue
                trials += 1
                failure = _failure(engine, small)
                if failure is not None and _kind(failure) == wanted:
                    return Example(row.case, text, failure, get_engine(engine).version())
                if trials == _TRIALS:
                    break
    return None


def _failure(engine: str, module: Module) -> str | None:
    """The error with which a module is refused, at compilation or at load."""
    on, target = get_engine(engine), TargetOptions()
    try:
        on.load(on.compile(module, target), module, target, {})
    except EngineError as error:
        return error_text(str(error))
    return None


def _modules(row: Row, overloads: set[str]) -> Iterator[Module]:
    """The case's nodes of these overloads, each as a module of its own; then its whole segments."""
    name, dtype, index = row.case.split("/")
    sample = selection.samples(name, dtype)[int(index)]
    call = Call(selection.database()[name].op, sample)
    lowered = lower_program(*from_exported_program(export(call, clones(call.tensors))))
    for node in lowered.functional.graph.nodes:
        if node.target in overloads and node.name not in lowered.plan.reasons:
            yield _alone(lowered, node)
    yield from lowered.modules.values()


def _alone(lowered: Lowered, node: Node) -> Module:
    values = lowered.functional.graph.values
    reads = dict.fromkeys(name for _, value, _ in node.args for name in _names(value))
    tensors = [name for name in reads if isinstance(values[name], TensorType)]
    return emit_module(
        lowered.functional, [node], tensors, list(node.results()), lowered.example_sizes, "alone"
    )


def _names(value: Arg) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, tuple):
        for item in value:
            yield from _names(item)


def _cuts(module: Module, error: str) -> Iterator[Module]:
    """Parts of a module, the smallest first: one operation with the constants it takes, then with more of
    what its operands come from; at last the module itself. What the error names comes before others."""
    with hlo.make_context() as context, ir.Location.unknown():
        whole = hlo.deserialize(module.code, context)
        entry = next(op for op in whole.body.operations if op.operation.name == "func.func")
        body = [op.operation for op in entry.regions[0].blocks[0].operations][:-1]
        made = {result: op for op in body for result in op.results}
        ends = sorted(
            (op for op in body if op.name != "stablehlo.constant"), key=lambda op: op.name not in error
        )
        seen: set[bytes] = set()
        for depth in _DEPTHS:
            for op in ends:
                code = _cut(op, _cone(op, made, depth), body)
                if code is not None and code not in seen:
                    seen.add(code)
                    yield alone(code)
    yield module


def alone(code: bytes) -> Module:
    """A module of arguments without names, by its bytecode."""
    with hlo.make_context() as context, ir.Location.unknown():
        whole = hlo.deserialize(code, context)
        entry = next(op for op in whole.body.operations if op.operation.name == "func.func")
        block = entry.regions[0].blocks[0]
        given, made = list(block.arguments), list(list(block.operations)[-1].operands)
        inputs, outputs = (
            tuple(Port(f"{letter}{i}", Value(x).dtype, Value(x).shape) for i, x in enumerate(values))
            for letter, values in (("x", given), ("y", made))
        )
    return Module(code, inputs, outputs, "alone")


def _cone(op: ir.Operation, made: dict[ir.Value, ir.Operation], depth: int) -> list[ir.Operation]:
    """An operation and those its operands come from, so many steps back; constants always."""
    found, edge = [op], [op]
    while edge:
        before = [made[value] for user in edge for value in user.operands if value in made]
        edge = [o for o in before if o not in found and (depth > 0 or o.name == "stablehlo.constant")]
        found += list(dict.fromkeys(edge))
        depth -= 1
    return found


def _cut(end: ir.Operation, cone: Sequence[ir.Operation], body: Sequence[ir.Operation]) -> bytes | None:
    """A module of these operations, with their other operands as arguments; None where a region reads from
    outside."""
    inside = [op for op in body if op in cone]
    results = {result for op in inside for result in op.results}
    free = list(dict.fromkeys(value for op in inside for value in op.operands if value not in results))
    module = ir.Module.create()
    with ir.InsertionPoint(module.body):
        types = ir.FunctionType.get([value.type for value in free], [result.type for result in end.results])
        main = func.FuncOp("main", types)
        block = main.add_entry_block()
    env = dict(zip(free, block.arguments, strict=True))
    with ir.InsertionPoint(block):
        for op in inside:
            clone = op.clone()
            for at, value in enumerate(op.operands):
                clone.operands[at] = env[value]
            env.update(zip(op.results, clone.results, strict=True))
        func.ReturnOp([env[result] for result in end.results])
    try:
        module.operation.verify()
        return hlo.serialize(module)
    except (ir.MLIRError, ValueError):
        return None
