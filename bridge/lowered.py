"""`Lowered`: a program with its plan and its StableHLO modules, ready to be saved or compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError, UsageError
from lowering.ir.module import Module
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import OutputKind, Program
from lowering.ir.symbols import is_unbacked
from lowering.ir.unbacked import has_data_sizes, typical_sizes
from lowering.ir.weights import Weights
from lowering.stablehlo.errors import RuleError, Unsupported

if TYPE_CHECKING:
    from bridge.tuning.record import Tuning
    from runtime.executor import Compiled
    from runtime.interpreted import Interpreted

# Values of symbols by name.
Sizes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Binary:
    """What an engine made of a module. `version`: of the engine, with what else its code depends on."""

    engine: str
    version: str
    device: str
    code: bytes


@dataclass
class Lowered:
    """What `bridge.lower` returns and `bridge.load` reads back.

    `program` is the IR as the source has it; `functional` the same without in-place writes: what the plan is
    about. `not_functional`: why that could not be; then the program runs on ATen as it is.
    """

    program: Program
    functional: Program
    plan: Plan
    weights: Weights
    not_functional: str = ""
    #: Whether modules tell of indices that are out of bounds.
    bounds_checks: bool = True
    #: Modules by segment index, at `example_sizes`.
    modules: dict[int, Module] = field(default_factory=dict)
    #: Compiled binaries by cache key, as an artifact brought or `compile` made them.
    binaries: dict[str, Binary] = field(default_factory=dict)
    #: What was measured for the engine `auto`, by an artifact's maker or by `compile`.
    tuning: Tuning | None = None
    #: Keys of the artifact's binaries that were not taken: somebody else made them.
    set_aside: tuple[str, ...] = ()

    @cached_property
    def example_sizes(self) -> Sizes:
        """The value of every symbol in the example inputs."""
        return example_sizes(self.functional)

    @property
    def placement(self) -> dict[str, str]:
        """For each node that runs: `stablehlo`, or `aten: ` and the reason."""
        return {
            node: "stablehlo"
            if segment.placement is Placement.STABLEHLO
            else f"aten: {self.plan.reasons[node]}"
            for segment in self.plan.segments
            for node in segment.nodes
        }

    def stablehlo(self, segment: int = 0) -> str:
        """MLIR text of a segment's module at the example sizes; large constants are elided.

        Raises UsageError for a segment that is not there or runs on ATen, EngineError for a module of a
        stranger's artifact that is not one of Bridge's.
        """
        from bridge.vetting import vetted
        from lowering.stablehlo.hlo import text_of

        return text_of(vetted(self.module(segment)).code)

    def module(self, segment: int) -> Module:
        """The portable StableHLO module of a segment at the example sizes, and at typical ones where only the
        data gives them.

        Raises UsageError where there is no such segment, or it runs on ATen.
        """
        found = next((s for s in self.plan.segments if s.index == segment), None)
        if found is None:
            raise UsageError(f"segment {segment} does not exist: the plan has {len(self.plan.segments)}")
        if found.placement is Placement.ATEN:
            raise UsageError(f"segment {segment} runs on ATen and has no StableHLO module")
        sizes = self.example_sizes
        if has_data_sizes(self.functional, found):
            sizes = {**typical_sizes(self.functional), **sizes}
        return self.specialise(self.plan, found, sizes)

    def specialise(self, plan: Plan, segment: Segment, sizes: Sizes) -> Module:
        """The module of a StableHLO segment at these sizes, emitted if it is not at hand."""
        own = plan is self.plan and dict(sizes) == dict(self.example_sizes)
        if own and segment.index in self.modules:
            return self.modules[segment.index]
        from lowering.ir.updates import donations
        from lowering.stablehlo.donation import donate

        module = emit_segment(self.functional, segment, sizes, self.bounds_checks)
        module = donate(module, donations(self.functional, plan, segment))
        if own:
            self.modules[segment.index] = module
        return module

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the artifact folder at `path`, replacing an artifact that is there, all or nothing."""
        from bridge.artifact import save

        return save(self, Path(path))

    def compile(
        self,
        engine: str = "iree",
        device: str = "cpu",
        *,
        tune: float | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Compiled | Interpreted:
        """Compile every segment and load the weights.

        `engine`: `iree`, `xla`, `aten`, or `auto`: the fastest of many ways to use them, measured here and
        kept in `tuning`. `device`: `cpu` or `cuda`. What the engine cannot compile runs on ATen, with the
        engine's reason in the result's report.

        For `auto` alone: `tune`: how many seconds the search may take (a candidate that was begun is
        finished), by default as long again as compiling takes; an incomplete search is taken up again where
        it is given. `args`, `kwargs`: the call that is timed, by default one with drawn inputs of the
        example sizes.

        Raises UsageError for an unknown engine, a device that is not there, or arguments that do not fit.
        """
        from bridge.compilation import compile_lowered

        return compile_lowered(self, engine, device, tune, args, kwargs)


def lower_program(program: Program, weights: Weights, bounds_checks: bool = True) -> Lowered:
    """Run the canonical pipeline, try every rule, partition, and emit the modules at the example sizes.

    Raises OperatorRefused for an operator that a file may not have ATen run, BridgeError for one that is not
    registered anywhere.
    """
    from bridge.registration import bring_operators, check_allowed, check_operators
    from lowering.ir.custom_operators import schema_of
    from lowering.passes.errors import NotFunctional
    from lowering.passes.partition import all_on_aten, data_reasons, partition
    from lowering.passes.pipelines import canonical
    from lowering.stablehlo.emit import try_nodes

    _refuse_gradients(program)
    bring_operators(program)
    check_allowed(program)
    check_operators(program)
    try:
        functional = canonical(weights, schema_of).run(program)
    except NotFunctional as error:
        return Lowered(program, program, all_on_aten(program, str(error)), weights, str(error))
    example, *ends = planning_sizes(functional)
    # Most programs have no gap: emit the whole at once, and look for reasons only if that fails.
    known = data_reasons(functional.graph)
    plan = partition(functional, known)
    lowered = Lowered(program, functional, plan, weights, bounds_checks=bounds_checks)
    typical = typical_sizes(functional)
    reasons = dict(known)
    if typical or not _emit_all(lowered):
        reasons = try_nodes(functional, {**typical, **example}, known)
    for sizes in ends:
        reasons = try_nodes(functional, {**typical, **sizes}, known) | reasons
    if reasons != known or typical:
        plan = partition(functional, reasons)
        lowered = Lowered(program, functional, plan, weights, bounds_checks=bounds_checks)
        if not _emit_all(lowered):
            raise RuleError("a node that lowered alone does not lower in its segment")
    return lowered


def _refuse_gradients(program: Program) -> None:
    gradients = (OutputKind.PARAMETER_GRADIENT, OutputKind.INPUT_GRADIENT)
    named = [str(spec.target) for spec in program.signature.outputs if spec.kind in gradients]
    if named:
        raise BridgeError(
            f"the program is a forward and a backward in one: it returns the gradient of {named[0]}"
            f"{f' and of {len(named) - 1} more' if len(named) > 1 else ''}; export the forward alone"
        )


def _emit_all(lowered: Lowered) -> bool:
    """Make the modules of all segments; whether every node lowered."""
    try:
        for segment in lowered.plan.segments:
            # What the data decides is emitted once it has.
            if segment.placement is Placement.STABLEHLO and not has_data_sizes(lowered.functional, segment):
                lowered.module(segment.index)
    except Unsupported:
        return False
    return True


def emit_segment(program: Program, segment: Segment, sizes: Sizes, bounds_checks: bool) -> Module:
    """Emit one segment at these sizes."""
    from lowering.stablehlo.emit import emit_module

    wanted = set(segment.nodes)
    nodes = [node for node in program.graph.nodes if node.name in wanted]
    name = f"segment_{segment.index}"
    return emit_module(program, nodes, segment.inputs, segment.outputs, sizes, name, bounds_checks)


def example_sizes(program: Program) -> dict[str, int]:
    """Every backed symbol's value in the example inputs; where none was recorded, its least above 1."""
    sizes: dict[str, int] = {}
    for name, bounds in program.ranges.items():
        if is_unbacked(name):
            continue
        low = max(bounds.low or 0, 2)
        sizes[name] = program.hints.get(name, low if bounds.high is None else min(low, bounds.high))
    return {**{name: v for name, v in program.hints.items() if not is_unbacked(name)}, **sizes}


# A bound that nobody means: the exporter's stand-in for "any size".
_UNBOUNDED = 1 << 30


def planning_sizes(program: Program) -> list[dict[str, int]]:
    """The sizes at which every rule is tried: the example's, and both ends of the ranges where a call can
    have them."""
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
