"""The modules and binaries of a program's segments, for the sizes that are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from bridge.background_compiler import background_compiler
from bridge.binaries import Binaries, Site
from bridge.compile_worker import Reply, Request
from bridge.configuration import Configuration, choice_named
from bridge.errors import UsageError
from bridge.planned import Planned, SizeKey, Sizes, size_key
from bridge.progress import part
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.module import Module
from lowering.ir.plan import Plan, Segment
from lowering.passes.pipeline import is_observed
from lowering.stablehlo.errors import Unsupported
from lowering.targets import get_engine
from lowering.targets.packages import needs
from lowering.targets.target import Built, BuiltDynamic, CompilesDynamic, target_of


class SegmentCompiler:
    """Compiles the segments of a program for the engines of one configuration, and keeps what an artifact
    keeps.

    `lowered`: the program; another of other weights may take its place. `example`: its example's sizes.
    """

    def __init__(self, lowered: Planned, configuration: Configuration, device: str) -> None:
        self.lowered = lowered
        self._configuration = configuration
        self._device = device
        self.example: Sizes = dict(lowered.example_sizes)
        self.binaries = Binaries(lowered.binaries)
        # Whether the binaries of modules that an artifact brought fit here.
        self._at_hand: dict[tuple[int, SizeKey], bool] = {}
        # The modules that another process has compiled, until they are loaded.
        self._replies: dict[tuple[int, SizeKey], Reply] = {}
        #: The sizes whose binaries an artifact keeps.
        self.kept: list[Sizes] = [self.example]

    def require_engines(self) -> None:
        """Raise EngineError for an engine that is not installed: nothing moves to ATen for that."""
        for engine in self._configuration.engines():
            get_engine(engine)

    def site(self, segment: Segment) -> Site:
        """The engine and the options that a segment is compiled for. Raises EngineError where that engine is
        not installed."""
        choice = choice_named(self._configuration.choice_of(segment))
        target = target_of(self._device, choice.options)
        assert target is not None, "the device was checked before"
        return Site(get_engine(choice.engine), target)

    def compile(self, plan: Plan, segment: Segment, sizes: Sizes) -> Built:
        """A segment's module and binaries at these sizes, cached. Raises EngineError."""
        reply = self._replies.pop((segment.index, size_key(sizes)), None)
        if reply is not None and reply.refused is not None:
            raise EngineError(*reply.refused)
        module = reply.module if reply is not None else None
        if module is None:
            module = self._specialised(plan, segment, sizes)
        kept = [at for at in self.kept if all(at.get(name, value) == value for name, value in sizes.items())]
        own = bool(kept)
        if own and plan is self.lowered.plan and kept[0] is not self.example:
            self.lowered.sized[segment.index, size_key(sizes)] = module
        site = self.site(segment)
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

        site = self.site(segment)
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
        site = self.site(segment)
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
            self._at_hand[place] = self.binaries.kept(module, self.site(segment)) is not None
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
            self.kept.append(sizes)
            self.compile(plan, plan.segments[index], sizes)
        return save(self.lowered, target)
