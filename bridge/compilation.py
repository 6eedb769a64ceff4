"""From a `Lowered` to a `Compiled`: an engine compiles each segment; what it refuses moves to ATen."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.errors import UsageError
from lowering.ir.module import Module
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.tree import NodeType
from runtime.engine import Engine, EngineError, Target
from runtime.engines import ENGINES, get_engine

if TYPE_CHECKING:
    from bridge.lowered import Lowered
    from runtime.executor import Compiled
    from runtime.interpreted import Interpreted

DEVICES = ("cpu", "cuda")

# How often one refusal may move one node and compile again, before the refused segment moves as a whole.
MAX_REPARTITIONS = 8


def compile_lowered(lowered: Lowered, engine: str = "iree", device: str = "cpu") -> Compiled | Interpreted:
    """Compile every segment of a program on one engine and load the weights; see `Lowered.compile`."""
    from runtime.executor import Compiled

    if device not in DEVICES:
        raise UsageError(f"device {device!r} does not exist; there are {', '.join(DEVICES)}")
    if engine not in (*ENGINES, "aten"):
        raise UsageError(f"engine {engine!r} does not exist; there are {', '.join([*ENGINES, 'aten'])}")
    if lowered.not_functional:
        return interpreted(lowered)
    target = Target(device)
    types = container_types(lowered)
    if engine == "aten":
        plan = _aten_plan(lowered)
        return Compiled(lowered.functional, plan, lowered.weights, target=target, types=types)
    compiler = _Compiler(lowered, get_engine(engine), target)
    plan = compiler.settle(lowered.plan)
    return Compiled(
        lowered.functional,
        plan,
        lowered.weights,
        engine=compiler.engine,
        specialise=lambda segment, sizes: compiler.build(plan, segment, sizes),
        target=target,
        types=types,
    )


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
    """What a binary depends on: the module's bytes, the engine and its version, the target."""
    ports = [[port.dtype.value, port.sizes, port.weight] for port in (*module.inputs, *module.outputs)]
    text = json.dumps([engine.name, engine.version(), target.device, sorted(target.options.items()), ports])
    return hashlib.sha256(text.encode() + b"\0" + module.code).hexdigest()


@dataclass
class _Compiler:
    """Compiles the segments of one program on one engine."""

    lowered: Lowered
    engine: Engine
    target: Target
    refused: dict[str, EngineError] = field(default_factory=dict)

    def build(self, plan: Plan, segment: Segment, sizes: Mapping[str, int]) -> tuple[Module, bytes]:
        """A segment's module and binary at these sizes, cached. Raises EngineError."""
        module = self.lowered.specialise(plan, segment, sizes)
        key = cache_key(module, self.engine, self.target)
        if key in self.refused:
            raise self.refused[key]
        if key not in self.lowered.binaries:
            try:
                self.lowered.binaries[key] = self.engine.compile(module, self.target)
            except EngineError as error:
                self.refused[key] = error
                raise
        return module, self.lowered.binaries[key]

    def settle(self, plan: Plan) -> Plan:
        """Compile all segments at the example sizes; the plan with what the engine refuses on ATen."""
        sizes = self.lowered.example_sizes
        moves = 0
        while True:
            for segment in plan.segments:
                if segment.placement is Placement.ATEN:
                    continue
                try:
                    self.build(plan, segment, sizes)
                except EngineError as error:
                    moves += 1
                    plan = self._move(plan, segment, error, whole=moves > MAX_REPARTITIONS)
                    break
            else:
                return plan

    def _move(self, plan: Plan, segment: Segment, error: EngineError, whole: bool) -> Plan:
        """The plan with the node that the engine's diagnostic names, or else the segment, on ATen."""
        from lowering.partition import partition

        reason = f"{self.engine.name}: {error}"
        named = error.node if error.node in segment.nodes and not whole else None
        moved = dict.fromkeys([named] if named else segment.nodes, reason)
        return partition(self.lowered.functional, {**plan.reasons, **moved})


def _aten_plan(lowered: Lowered) -> Plan:
    from lowering.partition import all_on_aten

    if lowered.not_functional:
        return lowered.plan
    return all_on_aten(lowered.functional, "engine aten was asked for")
