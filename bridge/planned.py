"""A program with its plan and its StableHLO modules, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import UsageError
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Program
from lowering.ir.short_repr import as_html
from lowering.ir.symbols import is_unbacked
from lowering.ir.unbacked import has_data_sizes, symbols_of, typical_sizes
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    from bridge.binaries import Binary
    from bridge.buckets import Buckets
    from bridge.tuning_record import Tuning

# Values of symbols by name.
Sizes = Mapping[str, Any]
# The same as a key: sorted by symbol.
SizeKey = tuple[tuple[str, int], ...]
# How many symbols `Planned.at_one` is made for: it has an entry for each combination.
_MOST_SYMBOLS = 4


@dataclass(repr=False)
class Planned:
    """A program as it was lowered; `bridge.lowered.Lowered` adds how it is saved and compiled.

    `program` is the IR as the source has it. `functional` is the same without in-place writes; the plan is of
    it. `not_functional`: why that could not be; then the program runs on ATen as it is.
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
    #: The measurements for the engine `auto`, by an artifact's maker or by `compile`.
    tuning: Tuning | None = None
    #: Keys of the artifact's binaries that were not taken: somebody else made them.
    set_aside: tuple[str, ...] = ()
    #: Modules for all sizes by segment index, as far as they are made; a text says why there is none.
    dynamic: dict[int, DynamicModule | str] = field(default_factory=dict)
    #: By the symbols that are 1: the type that does not hold then; see `runtime.small_sizes`.
    at_one: dict[tuple[str, ...], str] = field(default_factory=dict)
    #: The device that it is compiled for where nothing else is said.
    device: str = "cpu"
    #: Modules at other sizes that were asked for, by segment index and the values of its symbols.
    sized: dict[tuple[int, SizeKey], Module] = field(default_factory=dict)
    #: The sizes that others are padded to, by symbol.
    buckets: dict[str, Buckets] = field(default_factory=dict)
    #: The artifact that it was read from, or last written to.
    artifact: Path | None = None

    def __repr__(self) -> str:
        stablehlo = sum(len(s.nodes) for s in self.plan.segments if s.placement is Placement.STABLEHLO)
        segments = f"{len(self.plan.segments)} segment{'' if len(self.plan.segments) == 1 else 's'}"
        on_aten = sum(len(s.nodes) for s in self.plan.segments) - stablehlo
        what = f"{segments}, {stablehlo} nodes on StableHLO, {on_aten} on ATen"
        return f"<{type(self).__name__} {what}, {len(self.weights.views)} weights>"

    def _repr_html_(self) -> str:
        places = "\n".join(f"{node}: {place}" for node, place in self.placement.items())
        return as_html(f"{self!r}\n\n{places}")

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

    def stablehlo(self, segment: int = 0, dynamic: bool = False) -> str:
        """MLIR text of a segment's module at the example sizes; large constants are elided.

        `dynamic`: of the module for all sizes. Raises UsageError for a segment that does not exist, runs on
        ATen or has no such module. Raises EngineError for a module of another user's artifact that Bridge did
        not write.
        """
        from bridge.vetting import vetted
        from lowering.stablehlo.hlo import text_of

        if dynamic:
            return text_of(self.dynamic_module(segment).code)
        return text_of(vetted(self.module(segment)).code)

    def to_mermaid(self, depth: int | None = None, max_nodes: int = 100) -> str:
        """A Mermaid flowchart, as `Program.to_mermaid` gives it; segments are groups with their placement."""
        from lowering.render.mermaid import to_mermaid

        return to_mermaid(self.functional, self.plan, depth, max_nodes)

    def module(self, segment: int) -> Module:
        """The portable StableHLO module of a segment at the example sizes; sizes that only the data gives are
        typical ones.

        Raises UsageError where the segment does not exist, or runs on ATen.
        """
        found = self._segment(segment)
        sizes = self.example_sizes
        if has_data_sizes(self.functional, found):
            sizes = {**typical_sizes(self.functional), **sizes}
        return self.specialise(self.plan, found, sizes)

    def _segment(self, index: int) -> Segment:
        found = next((s for s in self.plan.segments if s.index == index), None)
        if found is None:
            raise UsageError(f"segment {index} does not exist: the plan has {len(self.plan.segments)}")
        if found.placement is Placement.ATEN:
            raise UsageError(f"segment {index} runs on ATen and has no StableHLO module")
        return found

    def dynamic_module(self, segment: int = 0) -> DynamicModule:
        """The portable StableHLO module of a segment for all sizes of the program's ranges.

        Raises UsageError where the segment does not exist, runs on ATen, or has one module for each size.
        """
        found = self._dynamic(self._segment(segment))
        if isinstance(found, str):
            raise UsageError(f"segment {segment} has no module for all sizes: {found}")
        return found

    def dynamic_modules(self) -> dict[int, DynamicModule | str]:
        """By index, the modules for all sizes of the segments whose sizes are not all known; a text says why
        a segment has none. Without jax, those at hand."""
        with suppress(ModuleNotFoundError):
            for segment in self.plan.segments:
                if segment.placement is Placement.STABLEHLO and self.symbols(segment):
                    self._dynamic(segment)
        return self.dynamic

    def known_at_one(self) -> dict[tuple[str, ...], str]:
        """The types that do not hold at sizes of 1. Without torch, as far as they are known."""
        if not self.at_one and self.example_sizes:
            with suppress(ModuleNotFoundError):
                self.at_one.update(problems_at_one(self.functional, self.example_sizes))
        return self.at_one

    def symbols(self, segment: Segment) -> tuple[str, ...]:
        """The symbols that a segment depends on."""
        nodes = [node for node in self.functional.graph.nodes if node.name in set(segment.nodes)]
        return symbols_of(self.functional.graph, segment.inputs, nodes)

    def _dynamic(self, segment: Segment) -> DynamicModule | str:
        if segment.index not in self.dynamic:
            example = {**typical_sizes(self.functional), **self.example_sizes}
            self.dynamic[segment.index] = dynamic_segment(
                self.functional, segment, example, self.bounds_checks
            )
        return self.dynamic[segment.index]

    def with_batch_axes(self, plan: Plan, segment: Segment) -> DynamicModule | str:
        """The module of a segment for all sizes, with what is proved of its symbols; or why there is none.

        Raises ModuleNotFoundError without jax where an artifact has not brought it.
        """
        if plan is self.plan:
            found = self._dynamic(segment)
        else:
            example = {**typical_sizes(self.functional), **self.example_sizes}
            found = dynamic_segment(self.functional, segment, example, self.bounds_checks)
        if isinstance(found, str) or found.batch_axes:
            return found
        from lowering.stablehlo.pipeline import for_all_sizes

        found = for_all_sizes().run(found)
        if plan is self.plan:
            self.dynamic[segment.index] = found
        return found

    def dynamic_for(self, plan: Plan, segment: Segment, sizes: Sizes) -> DynamicModule | None:
        """The module of a segment for all sizes; None where it has none, or none for these."""
        if plan is not self.plan or not sizes:
            return None
        found = self._dynamic(segment)
        return None if isinstance(found, str) or not found.admits(sizes) else found

    def _refined(self, plan: Plan, segment: Segment, sizes: Sizes) -> Module | None:
        """The module for all sizes at these; None where there is none for them."""
        from lowering.stablehlo.errors import LoweringError

        found = self.dynamic_for(plan, segment, sizes)
        if found is None:
            return None
        from lowering.stablehlo.refine import refined

        try:
            return refined(found, sizes)
        except LoweringError:
            return None

    def specialise(self, plan: Plan, segment: Segment, sizes: Sizes) -> Module:
        """The module of a StableHLO segment at these sizes.

        It is the one at hand, that for all sizes at these, or is emitted.
        """
        own = plan is self.plan and dict(sizes) == dict(self.example_sizes)
        if own and segment.index in self.modules:
            return self.modules[segment.index]
        if plan is self.plan and (kept := self.sized.get((segment.index, size_key(sizes)))) is not None:
            return kept
        from lowering.ir.updates import donations
        from lowering.stablehlo.pipeline import emitted

        module = None if own else self._refined(plan, segment, sizes)
        if module is None:
            module = emit_segment(self.functional, segment, sizes, self.bounds_checks)
        module = emitted(donations(self.functional, plan, segment)).run(module)
        if own:
            self.modules[segment.index] = module
        return module


def size_key(sizes: Sizes) -> SizeKey:
    """Sizes as a key."""
    return tuple(sorted(sizes.items()))


def emit_segment(program: Program, segment: Segment, sizes: Sizes, bounds_checks: bool) -> Module:
    """Emit one segment at these sizes."""
    from lowering.stablehlo.emit import emit_module

    wanted = set(segment.nodes)
    nodes = [node for node in program.graph.nodes if node.name in wanted]
    name = f"segment_{segment.index}"
    return emit_module(program, nodes, segment.inputs, segment.outputs, sizes, name, bounds_checks)


def dynamic_segment(
    program: Program, segment: Segment, example: Mapping[str, int], bounds_checks: bool
) -> DynamicModule | str:
    """The module of one segment for all sizes, or the reason why there is none."""
    from lowering.stablehlo.emit_dynamic import emit_dynamic
    from lowering.stablehlo.errors import RuleError, Unsupported

    nodes = [node for node in program.graph.nodes if node.name in set(segment.nodes)]
    name = f"segment_{segment.index}"
    try:
        return emit_dynamic(program, nodes, segment.inputs, segment.outputs, example, name, bounds_checks)
    except Unsupported as error:
        return error.reason
    except RuleError as error:
        # The fault is one of symbolic sizes: the rules have emitted this segment for plain ones.
        return str(error)


def example_sizes(program: Program) -> dict[str, int]:
    """Every backed symbol's value in the example inputs; where none was recorded, its least above 1."""
    sizes: dict[str, int] = {}
    for name, bounds in program.ranges.items():
        if is_unbacked(name):
            continue
        low = max(bounds.low or 0, 2)
        sizes[name] = program.hints.get(name, low if bounds.high is None else min(low, bounds.high))
    return {**{name: v for name, v in program.hints.items() if not is_unbacked(name)}, **sizes}


def problems_at_one(program: Program, sizes: Mapping[str, int]) -> dict[tuple[str, ...], str]:
    """The table `Planned.at_one` of a program, which takes torch to make. Empty for many symbols.

    `sizes`: those of the example; where it has a size of 1, 2 stands for it.
    """
    names = sorted(sizes)
    if len(names) > _MOST_SYMBOLS:
        return {}
    from lowering.targets import get_host

    host = get_host()
    found: dict[tuple[str, ...], str] = {}
    for count in range(1, len(names) + 1):
        for ones in combinations(names, count):
            at = {name: 1 if name in ones else max(size, 2) for name, size in sizes.items()}
            found[ones] = host.size_problem(program, at)
    return found
