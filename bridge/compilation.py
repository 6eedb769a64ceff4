"""From a `Planned` to a `Compiled`: an engine compiles each segment; nodes that it refuses move to ATen."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.adapters.variant import Bound, Form, bound_adapter, with_inputs
from bridge.binaries import Binaries
from bridge.configuration import ATEN, AUTO, Configuration, choice_named
from bridge.padding import paddings
from bridge.planned import Planned, Sizes
from bridge.segment_compiler import SegmentCompiler
from bridge.sizes import sizes_by_symbol
from bridge.state_files import STATE_FILES
from bridge.weight_origin import OwnedWeights
from lowering.ir.errors import EngineError
from lowering.ir.facts.namespaces import namespace_of
from lowering.ir.homes import import_home
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import all_nodes
from lowering.ir.tree import NodeType
from lowering.ir.unbacked import has_data_sizes
from lowering.targets.target import Built, BuiltDynamic
from runtime.specialisations import OnNewSize

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted
    from runtime.report import Fallback

_ASKED_FOR = "engine aten was asked for"
# How many refusals move one node each; the next ones move the refused segment as a whole.
_NODE_MOVES = 8
# After this many, all that is left moves: a compilation is too dear to try forever.
_MOVES = 16


def compile_configured(
    lowered: Planned,
    configuration: Configuration,
    device: str = "cpu",
    name: str = "",
    used: set[str] | None = None,
    on_new_size: OnNewSize = OnNewSize.WAIT,
    sizes: Iterable[Sizes] = (),
    beside: Compiled | None = None,
) -> Compiled:
    """Compile a program the way a configuration says. `name`: the engine's name in the report. `used` gets
    the keys of the binaries that it takes. `on_new_size`: the way of calls whose sizes are not compiled.
    `sizes`: those to compile for beforehand; an artifact keeps their binaries as it does the example's.
    `beside`: a program whose weights and state it shares."""
    name = name or configuration.choice
    compilation = _Compilation(lowered, configuration, device, name, on_new_size, beside)
    compilation.compiler.require_engines()
    if configuration.choice == ATEN:
        reason = "measured: all of it is faster there" if name == AUTO else _ASKED_FOR
        return compilation.compiled(_aten_plan(lowered, reason))
    compiled = compilation.build()
    for asked in sizes:
        compilation.keep(compiled, asked)
    if used is not None:
        used |= compilation.binaries.used
    return compiled


def compiled_segments(
    lowered: Planned, configuration: Configuration, device: str = "cpu", only_kept: bool = False
) -> tuple[Plan, dict[int, Built]]:
    """The plan that engines take, and by index the segments that they compiled at the example sizes.

    Nothing is loaded, and no weight is read. `only_kept`: nothing is compiled either; segments whose binaries
    are not at hand are left out. Raises EngineError where an engine is not here.
    """
    return _Compilation(lowered, configuration, device, "").segments(only_kept)


def compile_split_on_aten(lowered: Planned) -> Compiled:
    """All on ATen, in the segments of the program's own plan."""
    plan = lowered.plan
    segments = tuple(replace(segment, placement=Placement.ATEN) for segment in plan.segments)
    return _Compilation(lowered, Configuration(ATEN), "cpu", ATEN).compiled(replace(plan, segments=segments))


def interpreted(lowered: Planned) -> Interpreted:
    """The program as read, before any rewrite, on ATen alone."""
    from bridge.compiled.interpreted import Interpreted

    # The modules of operators may bring the classes of containers too: for this and for all that follows.
    for namespace in {namespace_of(node.target) for node in all_nodes(lowered.program.graph.nodes)}:
        import_home(namespace)
    return Interpreted(
        lowered.program,
        _aten_plan(lowered, _ASKED_FOR),
        lowered.weights,
        container_types(lowered),
        OwnedWeights(SegmentCompiler(lowered, Configuration(ATEN), "cpu")),
        STATE_FILES,
    )


def container_types(lowered: Planned) -> dict[str, NodeType]:
    """The container types of the program's arguments and results that are registered in this process."""
    if "torch" not in sys.modules:
        return {}
    from lowering.frontend.exported_program import registered_types

    signature = lowered.program.signature
    return registered_types(signature.in_spec, signature.out_spec)


class _Compilation:
    """Builds a program in one configuration, with a record of what engines refused.

    A node or segment that its engine cannot compile, or cannot load, runs on ATen for the engine's reason.
    """

    def __init__(
        self,
        lowered: Planned,
        configuration: Configuration,
        device: str,
        name: str,
        on_new_size: OnNewSize = OnNewSize.WAIT,
        beside: Compiled | None = None,
    ) -> None:
        self.compiler = SegmentCompiler(lowered, configuration, device)
        self._configuration = configuration
        # It has this one among its adapters.
        self._beside = None if beside is None else weakref.ref(beside)
        self._device = device
        self._name = name
        self._on_new_size = on_new_size
        self._moves = 0

    @property
    def lowered(self) -> Planned:
        """The program, with the weights of now."""
        return self.compiler.lowered

    @property
    def binaries(self) -> Binaries:
        """The binaries that it takes and makes."""
        return self.compiler.binaries

    def build(self) -> Compiled:
        """Compile and load everything at the example sizes, and again after moving a failed node or segment
        to ATen."""
        plan = self._moved(self.lowered.plan, self._configuration.moved)
        while True:
            plan = self._settle(plan)
            compiled = self.compiled(plan)
            compiled.load_at(self.compiler.example)
            failed = compiled.report.fallbacks
            if not failed:
                return compiled
            plan = self._after_loading(plan, failed[0])

    def keep(self, compiled: Compiled, sizes: Sizes) -> None:
        """Compile for these sizes, and keep modules and binaries for an artifact. Raises EngineError."""
        self.compiler.kept.append(dict(sizes))
        compiled.load_at(sizes)

    def segments(self, only_kept: bool) -> tuple[Plan, dict[int, Built]]:
        """See `compiled_segments`."""
        plan = self._moved(self.lowered.plan, self._configuration.moved)
        if not only_kept:
            plan = self._settle(plan)
        found: dict[int, Built] = {}
        for segment in plan.segments:
            if segment.placement is Placement.ATEN or has_data_sizes(self.lowered.functional, segment):
                continue
            if not only_kept:
                found[segment.index] = self.compiler.compile(plan, segment, self.compiler.example)
                continue
            module = self.lowered.specialise(plan, segment, self.compiler.example)
            site = self.compiler.site(segment)
            kept = self.binaries.kept(module, site)
            if kept is not None:
                before = self.binaries.kept(module.preflight, site) if module.preflight else None
                found[segment.index] = Built(module, kept, *site, before or b"")
        return plan, found

    def compiled(self, plan: Plan) -> Compiled:
        """The program with this plan."""
        from bridge.compiled.compiled import Compiled
        from runtime.bound_weights import BoundWeights
        from runtime.executor import Executor
        from runtime.frame import NOTHING_GIVEN

        lowered, origin = self.lowered, _Origin(self, self.compiler, plan)
        beside = None if self._beside is None else self._beside()
        executor = Executor(
            lowered.functional,
            plan,
            BoundWeights(lowered.weights) if beside is None else beside.executor.loaded.weights,
            partial(self.compiler.compile, plan),
            self._name,
            self._device.partition(":")[0],
            types=container_types(lowered),
            packed=self._configuration.packed,
            on_new_size=self._on_new_size,
            origin=origin,
            at_one=lowered.at_one,
            padding=paddings(lowered, plan, lowered.buckets),
            given=None if beside is None else NOTHING_GIVEN,
        )
        return Compiled(executor, origin, STATE_FILES, None if beside is None else beside.state())

    def compile_with_adapters(self, form: Form, beside: Compiled) -> Compiled:
        """The program that takes adapters of this form, the way this one was compiled."""
        lowered = with_inputs(self.lowered, form)
        way, sizes = self._configuration, self.compiler.kept[1:]
        return compile_configured(
            lowered, way, self._device, self._name, None, self._on_new_size, sizes, beside
        )

    def _settle(self, plan: Plan) -> Plan:
        """Compile all segments at the example sizes; the plan with what the engine refuses on ATen."""
        while True:
            for segment in plan.segments:
                if segment.placement is Placement.ATEN or has_data_sizes(self.lowered.functional, segment):
                    continue
                try:
                    self.compiler.compile(plan, segment, self.compiler.example)
                except EngineError as error:
                    plan = self._move(plan, segment, str(error), error.node)
                    break
            else:
                return plan

    def _after_loading(self, plan: Plan, failure: Fallback) -> Plan:
        """The next plan to build when a segment was compiled and did not load.

        A binary from an artifact or from the cache on disk may itself be at fault. It is discarded and
        compiled anew.
        """
        segment = plan.segments[failure.segment]
        module = self.lowered.specialise(plan, segment, self.compiler.example)
        variants = (module, module.preflight, replace(module, donated=(), preflight=None))
        if self.binaries.drop([v for v in variants if v is not None], self.compiler.site(segment)):
            return plan
        return self._move(plan, segment, failure.reason, failure.node)

    def _move(self, plan: Plan, segment: Segment, problem: str, node: str | None) -> Plan:
        """The plan with the node that the engine's diagnostic names, or else the segment, on ATen."""
        self._moves += 1
        name = choice_named(self._configuration.choice_of(segment)).engine
        # Most errors of an engine name it.
        reason = problem if problem.startswith((f"{name}:", f"{name} ")) else f"{name}: {problem}"
        if node in segment.nodes and self._moves <= _NODE_MOVES:
            moved = {node: reason}
        elif self._moves <= _MOVES:
            moved = dict.fromkeys(segment.nodes, reason)
        else:
            left = [s for s in plan.segments if s.placement is Placement.STABLEHLO]
            moved = {n: f"{reason} (the last of {self._moves} refusals)" for s in left for n in s.nodes}
        return self._moved(plan, moved)

    def _moved(self, plan: Plan, moved: Mapping[str, str]) -> Plan:
        """The plan with these nodes on ATen, for these reasons."""
        if not moved:
            return plan
        from lowering.passes.partition import partition

        return partition(self.lowered.functional, {**plan.reasons, **moved})


class _Origin(OwnedWeights):
    """See `bridge.compiled.origin.CompiledOrigin`."""

    def __init__(self, compilation: _Compilation, compiler: SegmentCompiler, plan: Plan) -> None:
        super().__init__(compiler)
        self._compilation = compilation
        self._compiler = compiler
        self._plan = plan

    @property
    def host_differs(self) -> bool:
        return not self._compiler.lowered.bounds_checks

    def dynamic(self, segment: Segment) -> BuiltDynamic:
        return self._compiler.compile_dynamic(self._plan, segment)

    def compile_aside(self, segment: Segment, sizes: Sizes) -> None:
        self._compiler.compile_aside(self._plan, segment, sizes)

    def is_at_hand(self, segment: Segment, sizes: Sizes) -> bool:
        return self._compiler.is_at_hand(self._plan, segment, sizes)

    def adapter(self, source: Any, scale: float | None, config: Any) -> Bound:
        return bound_adapter(self._compiler.lowered, source, scale, config)

    def with_adapters(self, form: Form, beside: Compiled) -> Compiled:
        return self._compilation.compile_with_adapters(form, beside)

    def symbols(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return sizes_by_symbol(self._compiler.lowered.program, sizes)

    def save(self, sizes: Iterable[tuple[int, Sizes]], path: str | PathLike[str] | None) -> Path:
        return self._compiler.save(self._plan, sizes, None if path is None else Path(path))


def _aten_plan(lowered: Planned, reason: str) -> Plan:
    from lowering.passes.partition import all_on_aten

    return lowered.plan if lowered.not_functional else all_on_aten(lowered.functional, reason)
