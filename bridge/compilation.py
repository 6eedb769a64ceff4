"""From a `Planned` to a `Compiled`: an engine compiles each segment; nodes that it refuses move to ATen."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.adapters.variant import Bound, Form, bound_adapter, with_inputs
from bridge.background_compiler import background_compiler
from bridge.binaries import Binaries, Site
from bridge.compile_worker import Reply, Request
from bridge.configuration import ATEN, AUTO, Configuration, choice_named
from bridge.errors import UsageError
from bridge.padding import paddings
from bridge.planned import Planned, SizeKey, Sizes, size_key
from bridge.progress import part
from bridge.sizes import sizes_by_symbol
from bridge.state_files import STATE_FILES
from bridge.weight_origin import OwnedWeights
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.facts.namespaces import namespace_of
from lowering.ir.homes import import_home
from lowering.ir.module import Module
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import all_nodes
from lowering.ir.tree import NodeType
from lowering.ir.unbacked import has_data_sizes
from lowering.passes.pipeline import is_observed
from lowering.stablehlo.errors import Unsupported
from lowering.targets import get_engine
from lowering.targets.packages import needs
from lowering.targets.target import Built, BuiltDynamic, CompilesDynamic, target_of
from runtime.specialisations import OnNewSize

if TYPE_CHECKING:
    from runtime.executor import Compiled
    from runtime.interpreted import Interpreted
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
    for engine in configuration.engines():
        # Not installed is an error, and no refusal that moves everything to ATen.
        get_engine(engine)
    name = name or configuration.choice
    compilation = _Compilation(lowered, configuration, device, name, on_new_size, beside)
    if configuration.choice == ATEN:
        reason = "measured: all of it is faster there" if name == AUTO else _ASKED_FOR
        return compilation.executor(_aten_plan(lowered, reason))
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
    return _Compilation(lowered, Configuration(ATEN), "cpu", ATEN).executor(replace(plan, segments=segments))


def interpreted(lowered: Planned) -> Interpreted:
    """The program as read, before any rewrite, on ATen alone."""
    from runtime.interpreted import Interpreted

    # The modules of operators may bring the classes of containers too: for this and for all that follows.
    for namespace in {namespace_of(node.target) for node in all_nodes(lowered.program.graph.nodes)}:
        import_home(namespace)
    return Interpreted(
        lowered.program,
        _aten_plan(lowered, _ASKED_FOR),
        lowered.weights,
        container_types(lowered),
        OwnedWeights(_Compilation(lowered, Configuration(ATEN), "cpu", ATEN)),
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
        self.lowered = lowered
        self._configuration = configuration
        # It has this one among its adapters.
        self._beside = None if beside is None else weakref.ref(beside)
        self._device = device
        self._name = name
        self._on_new_size = on_new_size
        self._example = dict(lowered.example_sizes)
        self.binaries = Binaries(lowered.binaries)
        self._moves = 0
        # Whether the binaries of modules that an artifact brought fit here.
        self._at_hand: dict[tuple[int, SizeKey], bool] = {}
        # The modules that another process has compiled, until they are loaded.
        self._replies: dict[tuple[int, SizeKey], Reply] = {}
        # The sizes whose binaries an artifact keeps.
        self._kept: list[Sizes] = [self._example]

    def build(self) -> Compiled:
        """Compile and load everything at the example sizes, and again after moving a failed node or segment
        to ATen."""
        plan = self._moved(self.lowered.plan, self._configuration.moved)
        while True:
            plan = self._settle(plan)
            compiled = self.executor(plan)
            compiled.load_at(self._example)
            failed = compiled.report.fallbacks
            if not failed:
                return compiled
            plan = self._after_loading(plan, failed[0])

    def keep(self, compiled: Compiled, sizes: Sizes) -> None:
        """Compile for these sizes, and keep modules and binaries for an artifact. Raises EngineError."""
        self._kept.append(dict(sizes))
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
                found[segment.index] = self.compile(plan, segment, self._example)
                continue
            module, site = self.lowered.specialise(plan, segment, self._example), self._site(segment)
            kept = self.binaries.kept(module, site)
            if kept is not None:
                before = self.binaries.kept(module.preflight, site) if module.preflight else None
                found[segment.index] = Built(module, kept, *site, before or b"")
        return plan, found

    def executor(self, plan: Plan) -> Compiled:
        """The program with this plan."""
        from runtime.executor import Compiled

        return Compiled(
            self.lowered.functional,
            plan,
            self.lowered.weights,
            partial(self.compile, plan),
            self._name,
            self._device.partition(":")[0],
            types=container_types(self.lowered),
            packed=self._configuration.packed,
            on_new_size=self._on_new_size,
            origin=_Origin(self, plan),
            at_one=self.lowered.at_one,
            padding=paddings(self.lowered, plan, self.lowered.buckets),
            files=STATE_FILES,
            beside=None if self._beside is None else self._beside(),
        )

    def compile_with_adapters(self, form: Form, beside: Compiled) -> Compiled:
        """The program that takes adapters of this form, the way this one was compiled."""
        lowered = with_inputs(self.lowered, form)
        way, sizes = self._configuration, self._kept[1:]
        return compile_configured(
            lowered, way, self._device, self._name, None, self._on_new_size, sizes, beside
        )

    def _site(self, segment: Segment) -> Site:
        """The engine and the options that a segment is compiled for. Raises EngineError where that engine is
        not installed."""
        choice = choice_named(self._configuration.choice_of(segment))
        target = target_of(self._device, choice.options)
        assert target is not None, "the device was checked before"
        return Site(get_engine(choice.engine), target)

    def _settle(self, plan: Plan) -> Plan:
        """Compile all segments at the example sizes; the plan with what the engine refuses on ATen."""
        while True:
            for segment in plan.segments:
                if segment.placement is Placement.ATEN or has_data_sizes(self.lowered.functional, segment):
                    continue
                try:
                    self.compile(plan, segment, self._example)
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
        module = self.lowered.specialise(plan, segment, self._example)
        variants = (module, module.preflight, replace(module, donated=(), preflight=None))
        if self.binaries.drop([v for v in variants if v is not None], self._site(segment)):
            return plan
        return self._move(plan, segment, failure.reason, failure.node)

    def _move(self, plan: Plan, segment: Segment, problem: str, node: str | None) -> Plan:
        """The plan with the node that the engine's diagnostic names, or else the segment, on ATen."""
        self._moves += 1
        name = choice_named(self._configuration.choice_of(segment)).engine
        reason = problem if problem.startswith(f"{name}:") else f"{name}: {problem}"
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

    def compile(self, plan: Plan, segment: Segment, sizes: Sizes) -> Built:
        """A segment's module and binaries at these sizes, cached. Raises EngineError."""
        reply = self._replies.pop((segment.index, size_key(sizes)), None)
        if reply is not None and reply.refused is not None:
            raise EngineError(*reply.refused)
        module = reply.module if reply is not None else None
        if module is None:
            module = self._specialised(plan, segment, sizes)
        kept = [at for at in self._kept if all(at.get(name, value) == value for name, value in sizes.items())]
        own = bool(kept)
        if own and plan is self.lowered.plan and kept[0] is not self._example:
            self.lowered.sized[segment.index, size_key(sizes)] = module
        site = self._site(segment)
        with part(f"segment {segment.index + 1} of {len(plan.segments)}, {site.engine.name}"):
            return self.binaries.built(module, site, own)

    def _specialised(self, plan: Plan, segment: Segment, sizes: Sizes) -> Module:
        try:
            return self.lowered.specialise(plan, segment, sizes)
        except Unsupported as error:
            raise EngineError(f"no StableHLO at these sizes: {error.reason}") from error
        except ModuleNotFoundError as error:
            raise NoCompiler(f"to compile for new sizes {needs(error)}") from error

    def compile_aside(self, plan: Plan, segment: Segment, sizes: Sizes) -> None:
        """Have another process make what `compile` gives for these sizes, which takes it then.

        Where no process can, or passes are watched in this one, `compile` does it all. Raises EngineError.
        """
        if is_observed() or find_spec("jax") is None:
            return
        place = segment.index, size_key(sizes)
        if place in self._replies:
            return
        from lowering.ir.updates import donations

        site = self._site(segment)
        pairs = donations(self.lowered.functional, plan, segment)
        module = self.lowered.dynamic_for(plan, segment, sizes) or self._specialised(plan, segment, sizes)
        try:
            reply = background_compiler.compile(
                Request(module, dict(sizes), pairs, site.engine.name, site.target)
            )
        except EngineError as error:
            reply = Reply(None, refused=(str(error), error.node))
        if reply is None or (reply.module is None and reply.refused is None):
            return
        if reply.module is not None:
            self.binaries.add(reply.module, site, reply.binary)
            if reply.module.preflight is not None:
                self.binaries.add(reply.module.preflight, site, reply.preflight)
        self._replies[place] = reply

    def compile_dynamic(self, plan: Plan, segment: Segment) -> BuiltDynamic:
        """A segment's module for all sizes and its binary, cached. Raises EngineError."""
        site = self._site(segment)
        if plan is not self.lowered.plan:
            raise EngineError("its nodes are other ones than the program's own plan has")
        if not isinstance(site.engine, CompilesDynamic):
            raise EngineError(f"{site.engine.name} compiles a module for each size")
        try:
            module = self.lowered.dynamic_module(segment.index)
            binary = self.binaries.of_dynamic(module, site)
        except UsageError as error:
            raise EngineError(str(error)) from error
        except ModuleNotFoundError as error:
            raise EngineError(f"a module for all sizes {needs(error)}") from error
        return BuiltDynamic(module, binary, site.engine, site.target)

    def is_at_hand(self, plan: Plan, segment: Segment, sizes: Sizes) -> bool:
        """Whether an artifact brought the segment's binary for these sizes."""
        place = segment.index, size_key(sizes)
        if plan is not self.lowered.plan or place not in self.lowered.sized:
            return False
        if place not in self._at_hand:
            module = self.lowered.sized[place]
            self._at_hand[place] = self.binaries.kept(module, self._site(segment)) is not None
        return self._at_hand[place]

    def save(self, plan: Plan, compiled: Iterable[tuple[int, Sizes]], path: Path | None) -> Path:
        """Write an artifact with the binaries of these segments and sizes.

        Raises UsageError, ArtifactError.
        """
        from bridge.artifact import save

        target = path or self.lowered.artifact
        if target is None:
            raise UsageError("the program was not loaded from an artifact; give save_binaries a path")
        if plan is not self.lowered.plan:
            raise UsageError("no binaries of sizes are kept where the engine has moved nodes to ATen")
        for index, sizes in compiled:
            self._kept.append(sizes)
            self.compile(plan, plan.segments[index], sizes)
        return save(self.lowered, target)


class _Origin(OwnedWeights):
    """See `runtime.origin.Origin`."""

    def __init__(self, compilation: _Compilation, plan: Plan) -> None:
        super().__init__(compilation)
        self._compilation = compilation
        self._plan = plan

    @property
    def host_differs(self) -> bool:
        return not self._compilation.lowered.bounds_checks

    def dynamic(self, segment: Segment) -> BuiltDynamic:
        return self._compilation.compile_dynamic(self._plan, segment)

    def compile_aside(self, segment: Segment, sizes: Sizes) -> None:
        self._compilation.compile_aside(self._plan, segment, sizes)

    def is_at_hand(self, segment: Segment, sizes: Sizes) -> bool:
        return self._compilation.is_at_hand(self._plan, segment, sizes)

    def adapter(self, source: Any, scale: float | None, config: Any) -> Bound:
        return bound_adapter(self._compilation.lowered, source, scale, config)

    def with_adapters(self, form: Form, beside: Compiled) -> Compiled:
        return self._compilation.compile_with_adapters(form, beside)

    def symbols(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return sizes_by_symbol(self._compilation.lowered.program, sizes)

    def save(self, sizes: Iterable[tuple[int, Sizes]], path: str | PathLike[str] | None) -> Path:
        return self._compilation.save(self._plan, sizes, None if path is None else Path(path))


def _aten_plan(lowered: Planned, reason: str) -> Plan:
    from lowering.passes.partition import all_on_aten

    return lowered.plan if lowered.not_functional else all_on_aten(lowered.functional, reason)
