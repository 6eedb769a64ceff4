"""From a functional program to its plan and modules."""

from __future__ import annotations

from typing import TypeVar

from bridge.planned import Planned, example_sizes
from lowering.ir.plan import Placement
from lowering.ir.program import Program
from lowering.ir.unbacked import has_data_sizes, typical_sizes
from lowering.ir.weights import Weights
from lowering.stablehlo.errors import RuleError, Unsupported

P = TypeVar("P", bound=Planned)


def planned(
    kind: type[P], program: Program, functional: Program, weights: Weights, bounds_checks: bool = True
) -> P:
    """A program with its form without writes: try every rule, partition, emit at the example sizes."""
    from lowering.passes.partition import data_reasons, partition
    from lowering.stablehlo.emit import try_nodes

    example, *ends = planning_sizes(functional)
    # Most programs have no gap: emit the whole at once, and look for reasons only if that fails.
    known = data_reasons(functional.graph)
    plan = partition(functional, known)
    lowered = kind(program, functional, plan, weights, bounds_checks=bounds_checks)
    typical = typical_sizes(functional)
    reasons = dict(known)
    if typical or not _emit_all(lowered):
        reasons = try_nodes(functional, {**typical, **example}, known)
    for sizes in ends:
        reasons = try_nodes(functional, {**typical, **sizes}, known) | reasons
    if reasons != known or typical:
        plan = partition(functional, reasons)
        lowered = kind(program, functional, plan, weights, bounds_checks=bounds_checks)
        if not _emit_all(lowered):
            raise RuleError("a node that lowered alone does not lower in its segment")
    return lowered


def _emit_all(lowered: Planned) -> bool:
    """Make the modules of all segments; whether every node lowered."""
    try:
        for segment in lowered.plan.segments:
            # A segment with sizes that the data gives is emitted when they are known.
            if segment.placement is Placement.STABLEHLO and not has_data_sizes(lowered.functional, segment):
                lowered.module(segment.index)
    except Unsupported:
        return False
    return True


# A bound that nobody means: the exporter's stand-in for "any size".
_UNBOUNDED = 1 << 30


def planning_sizes(program: Program) -> list[dict[str, int]]:
    """The sizes at which every rule is tried: the example's, and both ends of the ranges where they are
    admitted."""
    from lowering.stablehlo.admitted import admits

    example = example_sizes(program)
    low, high = dict(example), dict(example)
    for name in example:
        bounds = program.ranges.get(name)
        if bounds is None:
            continue
        # Where the exporter took a size to be 2 or more, 1 and 0 are rare: they need not lower.
        low[name] = max(bounds.low, 1) if bounds.low is not None else min(2, bounds.high or 2)
        if bounds.high is not None and bounds.high < _UNBOUNDED:
            high[name] = bounds.high
    unique: list[dict[str, int]] = []
    for sizes in (example, low, high):
        if sizes not in unique and (not unique or admits(program, sizes)):
            unique.append(sizes)
    return unique
