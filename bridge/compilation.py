"""From a `Lowered` to a `Compiled`: an engine compiles each segment; what it refuses moves to ATen."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bridge.compile_cache import open_cache
from bridge.errors import UsageError
from bridge.lowered import Binary, Sizes
from bridge.registration import bring_operators
from lowering.errors import Unsupported
from lowering.forms import REVISION, form_for
from lowering.ir.module import Module
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.tree import NodeType
from lowering.ir.unbacked import has_data_sizes
from runtime.engine import Built, Engine, EngineError, Target
from runtime.engines import ENGINES, get_engine
from runtime.engines.host import cores

if TYPE_CHECKING:
    from bridge.lowered import Lowered
    from runtime.executor import Compiled
    from runtime.interpreted import Interpreted
    from runtime.report import Fallback

T = TypeVar("T")

DEVICES = ("cpu", "cuda")

# How many refusals move one node each; the next ones move the refused segment as a whole.
_NODE_MOVES = 8
# After this many, all that is left moves: a compilation is too dear to try forever.
_MOVES = 16
# How many binaries are kept of sizes that are not the example's, and which no artifact keeps.
_KEPT = 64


def compile_lowered(lowered: Lowered, engine: str = "iree", device: str = "cpu") -> Compiled | Interpreted:
    """Compile every segment of a program on one engine and load the weights; see `Lowered.compile`."""
    check_engine(engine, device)
    bring_operators(lowered.program)
    if lowered.not_functional:
        return interpreted(lowered)
    if engine == "aten":
        return _Builder(lowered, None, Target()).executor(_aten_plan(lowered))
    target = Target(device)
    found = get_engine(engine)
    if device != "cpu":
        _check_device(found, target)
    return _Builder(lowered, found, target).build()


def check_engine(engine: str, device: str = "cpu") -> None:
    """Raise UsageError for an engine or a device that does not exist, or that do not go together."""
    if device not in DEVICES:
        raise UsageError(f"there is no device {device!r}; there are {', '.join(DEVICES)}")
    if engine not in (*ENGINES, "aten"):
        raise UsageError(f"there is no engine {engine!r}; there are {', '.join([*ENGINES, 'aten'])}")
    if engine == "aten" and device != "cpu":
        raise UsageError(f"the engine aten runs on the cpu only; {device} is for {' and '.join(ENGINES)}")


def _check_device(engine: Engine, target: Target) -> None:
    """Raise UsageError where the device is not there: that is no reason to run on ATen instead."""
    try:
        engine.from_tensor(np.zeros(16, np.float32), target)
    except EngineError as error:
        raise UsageError(f"the device {target.device} cannot be used: {error}") from error


def interpreted(lowered: Lowered) -> Interpreted:
    """The program as read, before any rewrite, on ATen alone."""
    from runtime.interpreted import Interpreted

    return Interpreted(lowered.program, _aten_plan(lowered), lowered.weights, container_types(lowered))


def container_types(lowered: Lowered) -> dict[str, NodeType]:
    """The container types of the program's arguments and results that are registered in this process."""
    if "torch" not in sys.modules:
        return {}
    from lowering.exported_program import registered_types

    signature = lowered.program.signature
    return registered_types(signature.in_spec, signature.out_spec)


def cache_key(module: Module, engine: Engine, target: Target) -> str:
    """What a binary depends on: the module's bytes, its form, the engine and its version, the target."""
    ports = [[port.dtype.value, port.sizes, port.weight] for port in (*module.inputs, *module.outputs)]
    options = sorted(target.options.items())
    form = [REVISION, *astuple(form_for(engine.name, target.device, cores()))]
    described = [engine.name, engine.version(), target.device, options, form, ports, module.donations()]
    text = json.dumps(described)
    return hashlib.sha256(text.encode() + b"\0" + module.code).hexdigest()


class _Builder:
    """Builds a program on one engine, with a record of what the engine refused.

    A node or segment that the engine cannot compile, or cannot load, runs on ATen for the engine's reason.
    """

    def __init__(self, lowered: Lowered, engine: Engine | None, target: Target) -> None:
        self._lowered = lowered
        self._engine = engine
        self._target = target
        self._example = dict(lowered.example_sizes)
        self._refused: OrderedDict[str, EngineError] = OrderedDict()
        self._others: OrderedDict[str, Binary] = OrderedDict()
        self._fresh: set[str] = set()
        self._cache = open_cache()
        self._moves = 0

    def build(self) -> Compiled:
        """Compile and load everything at the example sizes; what fails moves to ATen, and again."""
        plan = self._lowered.plan
        while True:
            plan = self._settle(plan)
            compiled = self.executor(plan)
            compiled.prepare(self._example)
            failed = compiled.report.fallbacks
            if not failed:
                return compiled
            plan = self._after_loading(plan, failed[0])

    def executor(self, plan: Plan) -> Compiled:
        """The program with this plan."""
        from runtime.executor import Compiled

        return Compiled(
            self._lowered.functional,
            plan,
            self._lowered.weights,
            lambda segment, sizes: self._compile(plan, segment, sizes),
            self._engine.name if self._engine is not None else "aten",
            self._target.device,
            types=container_types(self._lowered),
        )

    def _settle(self, plan: Plan) -> Plan:
        """Compile all segments at the example sizes; the plan with what the engine refuses on ATen."""
        while True:
            for segment in plan.segments:
                if segment.placement is Placement.ATEN or has_data_sizes(self._lowered.functional, segment):
                    continue
                try:
                    self._compile(plan, segment, self._example)
                except EngineError as error:
                    plan = self._move(plan, segment, str(error), error.node)
                    break
            else:
                return plan

    def _after_loading(self, plan: Plan, failure: Fallback) -> Plan:
        """What to build next when a segment was compiled and did not load.

        A binary that an artifact or the cache on disk brought may be at fault itself: it is thrown away and
        made anew.
        """
        segment = plan.segments[failure.segment]
        module = self._lowered.specialise(plan, segment, self._example)
        variants = (module, module.preflight, replace(module, donated=(), preflight=None))
        keys = [self._key(variant) for variant in variants if variant is not None]
        brought = [key for key in keys if key not in self._fresh and key in self._lowered.binaries]
        for key in brought or keys:
            self._lowered.binaries.pop(key, None)
            self._cache.drop(key)
        if brought:
            return plan
        return self._move(plan, segment, failure.reason, failure.node)

    def _move(self, plan: Plan, segment: Segment, problem: str, node: str | None) -> Plan:
        """The plan with the node that the engine's diagnostic names, or else the segment, on ATen."""
        from lowering.partition import partition

        assert self._engine is not None
        self._moves += 1
        name = self._engine.name
        reason = problem if problem.startswith(f"{name}:") else f"{name}: {problem}"
        if node in segment.nodes and self._moves <= _NODE_MOVES:
            moved = {node: reason}
        elif self._moves <= _MOVES:
            moved = dict.fromkeys(segment.nodes, reason)
        else:
            left = [s for s in plan.segments if s.placement is Placement.STABLEHLO]
            moved = {n: f"{reason} (the last of {self._moves} refusals)" for s in left for n in s.nodes}
        return partition(self._lowered.functional, {**plan.reasons, **moved})

    def _compile(self, plan: Plan, segment: Segment, sizes: Sizes) -> Built:
        """A segment's module and binaries at these sizes, cached. Raises EngineError."""
        try:
            module = self._lowered.specialise(plan, segment, sizes)
        except Unsupported as error:
            raise EngineError(f"no StableHLO at these sizes: {error.reason}") from error
        except ModuleNotFoundError as error:
            raise EngineError(f"sizes that are new need the package {error.name}") from error
        own = all(self._example.get(name, value) == value for name, value in sizes.items())
        preflight = b""
        if module.preflight is not None:
            try:
                preflight = self._binary(module.preflight, own)
            except EngineError:
                module = replace(module, donated=(), preflight=None)
        assert self._engine is not None
        return Built(module, self._binary(module, own), self._engine, self._target, preflight)

    def _binary(self, module: Module, own: bool) -> bytes:
        """What the engine makes of a module, cached. `own`: whether it is of the example sizes."""
        assert self._engine is not None
        key = self._key(module)
        if key in self._refused:
            raise self._refused[key]
        kept = self._lowered.binaries if own else self._others
        if key not in kept:
            code = self._cache.get(key)
            if code is None:
                try:
                    code = self._engine.compile(self._formed(module), self._target)
                except EngineError as error:
                    _bounded(self._refused, key, error)
                    raise
                self._fresh.add(key)
                self._cache.put(key, code)
            binary = Binary(self._engine.name, self._engine.version(), self._target.device, code)
            if own:
                kept[key] = binary
            else:
                _bounded(self._others, key, binary)
            return code
        return kept[key].code

    def _formed(self, module: Module) -> Module:
        """The module in the form that the engine runs fastest; as it is where jax, which rewrites, is not."""
        assert self._engine is not None
        try:
            from lowering.forms.form import form
        except ImportError:
            return module
        return form(module, form_for(self._engine.name, self._target.device, cores()))

    def _key(self, module: Module) -> str:
        assert self._engine is not None
        return cache_key(module, self._engine, self._target)


def _bounded(cache: OrderedDict[str, T], key: str, value: T) -> None:
    """Add an entry; the oldest goes where there are too many."""
    cache[key] = value
    while len(cache) > _KEPT:
        cache.popitem(last=False)


def _aten_plan(lowered: Lowered) -> Plan:
    from lowering.partition import all_on_aten

    if lowered.not_functional:
        return lowered.plan
    return all_on_aten(lowered.functional, "engine aten was asked for")
