"""ATen as the target of nodes that no engine runs. This module imports torch."""

from __future__ import annotations

import torch

from lowering.host.memory import base
from lowering.host.weights import torch_weights
from lowering.ir.uses import used_from_outside
from lowering.targets.aten.pipeline import pipeline
from lowering.targets.aten.prepacking import can_fuse
from lowering.targets.aten.program import AtenProgram
from lowering.targets.aten.reference import interpret
from lowering.targets.aten.reinplacing import written_inputs
from lowering.targets.aten.routine import Routine, admit
from lowering.targets.aten.sizes import size_problem
from lowering.targets.target import HostExecutable, NodeSegment


class Aten:
    """See `lowering.targets.target.HostTarget`."""

    def compile(self, segment: NodeSegment) -> HostExecutable:
        """The nodes through their pipeline, each then a closure over its operator; weights are constants."""
        # Before passes look for operators of oneDNN, or put them in.
        admit(segment.nodes)
        given = _program(segment)
        made = pipeline(segment.packed and can_fuse(given)).run(given)
        routine = Routine(made.graph, made.nodes, made.outputs, made.constants, made.in_place, ours=True)
        inputs = tuple(name for name in used_from_outside(segment.nodes) if name in given.inputs)
        bases = frozenset(map(base, made.constants.values()))
        return HostExecutable(routine, made.nodes, inputs, bases, routine.timed)

    # To switch takes as long as a small operator: a call does so once, around all its segments.
    without_gradients = torch.no_grad
    interpret = staticmethod(interpret)
    written_inputs = staticmethod(written_inputs)
    size_problem = staticmethod(size_problem)


def _program(segment: NodeSegment) -> AtenProgram:
    """The subject of the first pass: constants are the weights themselves."""
    read = used_from_outside(segment.nodes)
    names = {name: segment.constants[name] for name in read if name in segment.constants}
    tensors = torch_weights(segment.weights, names.values())
    return AtenProgram(
        segment.graph,
        tuple(segment.nodes),
        frozenset(read) - names.keys(),
        {name: tensors[weight] for name, weight in names.items()},
        segment.outputs,
        {old: new for old, new in segment.updates.items() if old in read},
    )
