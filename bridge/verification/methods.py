"""Methods in turn over the state that they share, on engines and on eager."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bridge.compilation import interpreted
from bridge.errors import BridgeError, UsageError
from bridge.progress import part
from bridge.verification.compare import Difference
from bridge.verification.draw import example_call
from bridge.verification.report import EngineReport
from bridge.verification.tolerances import Given, allowed_of
from bridge.verification.trial import (
    Call,
    Observed,
    compare_observed,
    eager_failed,
    engine_failed,
    observe,
    seeded,
)
from lowering.ir.plan import Placement

if TYPE_CHECKING:
    from bridge.compiled.methods import CompiledMethods
    from bridge.methods import LoweredMethods

#: How often all methods are called, one after the other.
ROUNDS = 3
#: The method and the observation of a call, and which round it is in.
Turn = tuple[int, str, Observed]


def verify_in_turn(
    methods: LoweredMethods, engines: Sequence[str], device: str, seed: int, given: Given | None
) -> list[EngineReport]:
    """A row per engine: every method, `ROUNDS` times in turn, each call compared with eager.

    Eager is the programs as read, on ATen, over tensors that they share as the methods share buffers.
    Arguments are drawn, other ones in each round. Raises BridgeError where eager itself fails.
    """
    drawn = [
        {name: example_call(one, seed=seed + at) for name, one in methods.items()} for at in range(ROUNDS)
    ]
    with part("eager, methods in turn"):
        before, expected = _eager(methods, drawn, seed)
    rows: list[EngineReport] = []
    for engine in engines:
        with part(f"{engine}, methods in turn"):
            rows.append(_run(methods, engine, device, drawn, before, expected, seed, given))
    return rows


def _eager(
    methods: LoweredMethods, drawn: Sequence[Mapping[str, Call]], seed: int
) -> tuple[dict[str, torch.Tensor], list[Turn]]:
    """The buffers before all calls, and each call as observed."""
    from bridge.compiled.interpreted import share_state

    callees = {name: interpreted(one) for name, one in methods.items()}
    share_state(list(callees.values()), methods.weights)
    before = {name: value for callee in callees.values() for name, value in callee.buffers.items()}
    try:
        with seeded(seed):
            return before, list(_turns(callees, drawn))
    except Exception as error:  # whatever an operator raises
        raise BridgeError(eager_failed(error)) from error


def _turns(callees: Mapping[str, Any], drawn: Sequence[Mapping[str, Call]]) -> Iterator[Turn]:
    for at, calls in enumerate(drawn):
        for name, call in calls.items():
            yield at, name, observe(callees[name], call)


def _run(
    methods: LoweredMethods,
    engine: str,
    device: str,
    drawn: Sequence[Mapping[str, Call]],
    before: Mapping[str, torch.Tensor],
    expected: Sequence[Turn],
    seed: int,
    given: Given | None,
) -> EngineReport:
    """Any error of an engine is a failed report."""
    differences: list[Difference] = []
    problem = ""
    compiled: CompiledMethods | None = None
    allowed = {name: allowed_of(one.program, given) for name, one in methods.items()}
    try:
        compiled = methods.compile(engine, device, on_new_size="wait")
        for program in compiled.programs.values():
            program.compile_at_once()
        with seeded(seed):
            turns = _turns(compiled.programs, drawn)
            for (at, name, got), (_, _, want) in zip(turns, expected, strict=True):
                prefix = f"round {at + 1}, {name}: "
                differences += compare_observed(got, want, before, allowed[name], prefix)
    except UsageError:
        raise
    except Exception as error:  # an engine's failure is what verification is there to report
        problem = engine_failed(error)
    reports = [] if compiled is None else [program.report for program in compiled.programs.values()]
    return EngineReport(
        f"{engine}: methods in turn",
        sum(len(report.plan.segments) for report in reports),
        sum(report.nodes(Placement.STABLEHLO) for report in reports),
        sum(report.nodes(Placement.ATEN) for report in reports),
        tuple(differences),
        problem=problem,
    )
