"""One trial: call eager or an engine on copies of the inputs, and record all that a caller can see."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.utils._pytree as pytree

from bridge.compiled.compiled import Compiled
from bridge.errors import BridgeError, UsageError, first_line
from bridge.verification.compare import Difference, compare
from bridge.verification.repeat import Repeats, Seen, any_order, repeat, same_bits
from bridge.verification.report import EdgeReport, EngineReport
from bridge.verification.tolerances import Allowed, Given, allowed_of
from lowering.host.tensors import numpy_to_torch
from lowering.ir.plan import Placement
from lowering.targets.errors import InputError

if TYPE_CHECKING:
    from bridge.compiled.interpreted import Interpreted
    from bridge.lowered import Lowered

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Observed:
    """The observation of one call: the structure of the result; its leaves, the inputs and the buffers after
    it."""

    structure: Any
    values: dict[str, Any]
    buffers: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Reference:
    """Eager as observed: the buffers before the first call, and each call of a row."""

    before: dict[str, torch.Tensor]
    calls: tuple[Observed, ...]


NO_EDGES: Mapping[str, tuple[Call, Reference]] = {}

# How many calls in a row are compared with eager, at most: the results of each are kept.
MOST_IN_A_ROW = 16


def run_reference(callee: Any, call: Call, calls: int, seed: int) -> Reference:
    """Call eager `calls` times in a row, but once where the next call would find all as this one did.

    Raises BridgeError where eager itself fails on these inputs.
    """
    before = _buffers(callee)
    try:
        with seeded(seed):
            generator = torch.default_generator.get_state()
            seen = [observe(callee, call)]
            drew = not torch.equal(generator, torch.default_generator.get_state())
            if drew or any(not same_bits(before[name], now) for name, now in seen[0].buffers.items()):
                seen += [observe(callee, call) for _ in range(min(calls, MOST_IN_A_ROW) - 1)]
            return Reference(before, tuple(seen))
    except InputError as error:
        raise BridgeError(f"the inputs do not fit the program: {error}") from error
    except Exception as error:  # whatever an operator, or the model's own code, raises
        raise BridgeError(eager_failed(error)) from error


def run_engine(
    lowered: Lowered,
    engine: str,
    device: str,
    call: Call,
    expected: Reference,
    calls: int,
    seed: int,
    edges: Mapping[str, tuple[Call, Reference]] = NO_EDGES,
    given: Given | None = None,
) -> EngineReport:
    """Compile on an engine, call it as often as eager was, compare; then call it until there were `calls`.

    A row of several calls is made twice at least. `edges`: further calls, each from the same start, with what
    eager showed. Any error of an engine is a failed report. Raises UsageError for an engine or device that
    does not exist.
    """
    allowed = allowed_of(lowered.program, given)
    differences: list[Difference] = []
    repeats: Repeats | None = None
    on_edges: list[EdgeReport] = []
    problem = ""
    compiled: Compiled | Interpreted | None = None
    try:
        compiled = lowered.compile(engine, device, on_new_size="wait")
        if isinstance(compiled, Compiled):
            compiled.compile_at_once()
        row: list[Seen] = []
        with seeded(seed):
            for index, want in enumerate(expected.calls):
                prefix = f"call {index + 1}: " if index else ""
                got = observe(compiled, call)
                differences += compare_observed(got, want, expected.before, allowed, prefix)
                row.append(_seen(got))
        if calls > 1:
            total = max(calls, 2 * len(row)) if len(row) > 1 else calls
            unordered = any_order(compiled.program.graph, on_aten(compiled))
            with seeded(seed):
                repeats = repeat(_repeater(compiled, call, seed), row, total, allowed.rounding, unordered)
        for edge, (edge_call, want) in edges.items():
            on_edges.append(_run_edge(compiled, edge, edge_call, want, allowed, seed))
    except UsageError:
        raise
    except Exception as error:  # an engine's failure is what verification is there to report
        problem = engine_failed(error)
    if compiled is None:
        return EngineReport(engine, 0, 0, 0, (), problem=problem)
    report = compiled.report
    return EngineReport(
        engine,
        len(report.plan.segments),
        report.nodes(Placement.STABLEHLO),
        report.nodes(Placement.ATEN),
        tuple(differences),
        {**report.plan.reasons, **{f"segment {f.segment}": f.reason for f in report.fallbacks}},
        problem,
        report.cache,
        repeats,
        tuple(on_edges),
    )


def _run_edge(
    compiled: Compiled | Interpreted,
    edge: str,
    call: Call,
    want: Reference,
    allowed: Allowed,
    seed: int,
) -> EdgeReport:
    try:
        compiled.reset()
        with seeded(seed):
            got = observe(compiled, call)
    except Exception as error:  # eager did not fail on these inputs
        return EdgeReport(edge, (), engine_failed(error))
    differences = compare_observed(got, want.calls[0], want.before, allowed)
    return EdgeReport(edge, tuple(differences))


def eager_failed(error: Exception) -> str:
    """The sentence of an error that eager raises."""
    return f"eager itself fails on these inputs: {type(error).__name__}: {first_line(error)}"


def engine_failed(error: Exception) -> str:
    """The problem of a row, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _repeater(compiled: Compiled | Interpreted, call: Call, seed: int) -> Callable[[bool, int], Seen]:
    """Makes the call of a place in a row; at the first place, buffers and seed are set anew.

    Other numbers are floating-point tensors' own in reverse: of the same range, and no index changes.
    """
    other = pytree.tree_map(_reversed, copy_tensors(call))

    def make(others: bool, place: int) -> Seen:
        if place == 0:
            compiled.reset()
            torch.default_generator.manual_seed(seed)
        return _seen(observe(compiled, other if others else call))

    return make


def _reversed(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or leaf.layout is not torch.strided or not leaf.is_floating_point():
        return leaf
    return leaf.copy_(leaf.reshape(-1).flip(0).reshape(leaf.shape)) if leaf.numel() else leaf


def _seen(observed: Observed) -> Seen:
    buffers = {f"buffer {name} after the call": value for name, value in observed.buffers.items()}
    return Seen(observed.structure, {**observed.values, **buffers})


def on_aten(compiled: Compiled | Interpreted) -> set[str]:
    """Names of the nodes that ran on ATen: by the plan, or because an engine refused their segment."""
    report = compiled.report
    refused = {fallback.segment for fallback in report.fallbacks}
    return {
        name
        for segment in report.plan.segments
        if segment.placement is Placement.ATEN or segment.index in refused or report.postponed
        for name in segment.nodes
    }


def first_difference(callee: Any, call: Call, expected: Reference, allowed: Allowed, seed: int) -> str:
    """The difference of a first call from eager's, in a few words; empty where all is within tolerance."""
    with seeded(seed):
        got = observe(callee, call)
    differences = compare_observed(got, expected.calls[0], expected.before, allowed)
    return next((f"{d.name} {d.problem}" for d in differences if not d.passed), "")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator at `seed`, so that both sides draw the same; the caller's is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def observe(callee: Any, call: Call) -> Observed:
    """Call it with copies of the inputs, and record what a caller can see."""
    args, kwargs = copy_tensors(call)
    leaves, structure = pytree.tree_flatten(callee(*args, **kwargs))
    values = {f"output {i}": _frozen(leaf) for i, leaf in enumerate(leaves)}
    after = enumerate(pytree.tree_leaves((args, kwargs)))
    values |= {f"input {i} after the call": _frozen(x) for i, x in after if isinstance(x, torch.Tensor)}
    return Observed(structure, values, _buffers(callee))


def _buffers(callee: Any) -> dict[str, torch.Tensor]:
    return {name: _as_torch(buffer) for name, buffer in callee.buffers.items()}


def copy_tensors(call: Call) -> Call:
    """The call with every tensor copied, strides kept where they are dense; numpy arrays become tensors."""
    return pytree.tree_map(_copied, call)


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return numpy_to_torch(np.array(leaf, order="C"))
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().clone(memory_format=torch.preserve_format)
    return copy.deepcopy(leaf)


def _frozen(value: Any) -> Any:
    """A value as it is now, strides and all: engines may reuse an output's memory in the next call."""
    if not isinstance(value, torch.Tensor):
        return value
    plain = value.detach().resolve_conj().resolve_neg()
    if plain.layout is not torch.strided:
        return plain.clone()
    storage = plain.untyped_storage().clone()
    return plain.new_empty(0).set_(storage, plain.storage_offset(), plain.shape, plain.stride())


def _as_torch(buffer: Any) -> torch.Tensor:
    return _frozen(buffer) if isinstance(buffer, torch.Tensor) else numpy_to_torch(buffer).clone()


def compare_observed(
    got: Observed,
    want: Observed,
    before: Mapping[str, torch.Tensor],
    allowed: Allowed,
    prefix: str = "",
) -> list[Difference]:
    """Everything that a caller can see of one call.

    A buffer that an engine does not hold is one that it never writes: it has the value of `before`.
    """
    differences = [
        compare(
            prefix + name,
            got.values[name],
            value,
            allowed.rounding,
            coarsest=allowed.coarsest.get(name),
            given=allowed.given,
        )
        if name in got.values
        else Difference(prefix + name, float("inf"), "is missing")
        for name, value in want.values.items()
    ]
    for name in got.values.keys() - want.values.keys():
        differences.append(Difference(prefix + name, float("inf"), "is there, and eager gives none"))
    for name, value in want.buffers.items():
        held = got.buffers.get(name, before.get(name))
        differences.append(
            compare(
                f"{prefix}buffer {name} after the call", held, value, allowed.rounding, given=allowed.given
            )
        )
    if got.structure != want.structure:
        problem = f"is {got.structure}, eager gives {want.structure}"
        differences.append(Difference(f"{prefix}the result's structure", float("inf"), problem))
    return differences
