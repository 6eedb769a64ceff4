"""LSTMs on ATen, layer by layer, on weights that oneDNN laid out once.

Eager calls the same operator of oneDNN for each layer and direction. It lays out the weights, a megabyte or
two, at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from lowering.ir.facts.contractions import LSTM
from lowering.ir.program import Arg, Argument, Node, Ref
from lowering.ir.types import TensorType
from lowering.targets.aten import onednn, operators
from lowering.targets.aten.program import AtenPass, AtenProgram

_LAYER = "aten.mkldnn_rnn_layer.default"
# oneDNN's number for LSTM, and a layer's tensors: weights of inputs and of states, and a bias for each.
_MODE, _TENSORS = 2, 4

Keep = Callable[[str, torch.Tensor], Ref]
T = TypeVar("T")


def prepack_lstms(program: AtenProgram) -> AtenProgram:
    """The program with a node for each layer of an LSTM, whose packed weights are constants."""
    constants = dict(program.constants)

    def keep(name: str, tensor: torch.Tensor) -> Ref:
        constants[name] = tensor
        return Ref(name)

    nodes: list[Node] = []
    for node in program.nodes:
        unrolled = _unrolled(node, program, keep) if node.target == LSTM else None
        nodes += [node] if unrolled is None else unrolled
    return replace(program, nodes=tuple(nodes), constants=constants)


LSTM_PREPACKING = AtenPass(
    "lstm-prepacking", prepack_lstms, "Unroll LSTMs into layers of oneDNN, on weights in its layout."
)


def _unrolled(node: Node, program: AtenProgram, keep: Keep) -> list[Node] | None:
    """The nodes that do what this LSTM does, a layer each; None where a weight changes, or oneDNN takes none.

    `keep`: makes a constant of a name and a tensor.
    """
    given = operators.given(node)
    params = [program.constants.get(ref.name) if isinstance(ref, Ref) else None for ref in given["params"]]
    directions = 2 if given["bidirectional"] is True else 1
    count = given["num_layers"]
    type_ = program.graph.values.get(given["input"].name) if isinstance(given["input"], Ref) else None
    if not isinstance(type_, TensorType) or type_.rank != 3 or given["train"] is not False:
        return None
    if type(count) is not int or given["has_biases"] is not True:
        return None
    if len(params) != count * directions * _TENSORS:
        return None  # with projections there are more
    tensors = [tensor for tensor in params if tensor is not None]
    wanted = torch.float32 if type_.dtype.value == "float32" else torch.bfloat16
    if len(tensors) < len(params) or any(x.dtype is not wanted or not x.is_cpu for x in tensors):
        return None
    if not onednn.takes(wanted):
        return None
    return list(_nodes(node, given, type_, _by(_TENSORS, tensors), keep))


def _nodes(
    node: Node,
    given: Mapping[str, Arg],
    type_: TensorType,
    layers: Sequence[Sequence[torch.Tensor]],
    keep: Keep,
) -> Iterator[Node]:
    def called(target: str, result: str, *values: Arg) -> Node:
        names = [argument.name for argument in operators.resolve(target)._schema.arguments]
        args = tuple(Argument(name, value, False) for name, value in zip(names, values, strict=False))
        return Node(result, target, args, (result,), node.location)

    own, batch_first = node.name, given["batch_first"] is True
    output, hidden, cell = (
        name if isinstance(name, str) else f"{own}.{at}" for at, name in enumerate(node.outputs)
    )
    sizes = [type_.sizes[axis] for axis in ((1, 0, 2) if batch_first else (0, 1, 2))]
    first = given["input"]
    if batch_first:
        yield called("aten.transpose.int", f"{own}.turned", first, 0, 1)
        first = Ref(f"{own}.turned")
    yield called("aten.contiguous.default", f"{own}.input", first)
    sequence = f"{own}.input"
    ends: list[tuple[str, str]] = []
    directions = 2 if given["bidirectional"] is True else 1
    for level, pair in enumerate(_by(directions, layers)):
        width = sizes[2] if level == 0 else directions * pair[0][1].shape[1]
        made = []
        for way, (of_inputs, of_states, *biases) in enumerate(pair):
            at, size = len(ends), of_states.shape[1]
            name = f"{own}.{at}"
            known = [n for n in (sizes[0], sizes[1], width) if type(n) is int]
            packed = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(
                of_inputs, of_states, size, way == 1, True, False, known if len(known) == 3 else None
            )
            kept = [keep(f"{name}.{i}", tensor) for i, tensor in enumerate((*packed, *biases))]
            states = [f"{name}.h", f"{name}.c"]
            for state, all_states in zip(states, given["hx"], strict=True):  # pyright: ignore[reportArgumentType]
                yield called("aten.select.int", state, all_states, 0, at)
            layer = called(
                _LAYER, name, Ref(sequence), *kept, *map(Ref, states), way == 1, (), _MODE, size, 1, True,
                False, False, False,
            )  # fmt: skip
            ends.append((f"{name}.hy", f"{name}.cy"))
            made.append(f"{name}.y")
            yield Node(name, layer.target, layer.args, (made[-1], *ends[-1], f"{name}.space"), node.location)
        sequence = made[0]
        if len(made) > 1:
            sequence = f"{own}.both.{level}"
            yield called("aten.cat.default", sequence, tuple(map(Ref, made)), 2)
    for name, which in ((hidden, 0), (cell, 1)):
        yield called("aten.stack.default", name, tuple(Ref(end[which]) for end in ends), 0)
    last = ("aten.transpose.int", 0, 1) if batch_first else ("aten.alias.default",)
    yield called(last[0], output, Ref(sequence), *last[1:])


def _by(count: int, items: Sequence[T]) -> list[Sequence[T]]:
    """The items, `count` at a time."""
    return [items[at : at + count] for at in range(0, len(items), count)]
