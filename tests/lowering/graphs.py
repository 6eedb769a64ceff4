"""Small programs written by hand: `program("x", node("y", "aten.neg.default", self="x"), returns="y")`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lowering.ir.location import Location
from lowering.ir.program import (
    Arg,
    Argument,
    Graph,
    InputKind,
    InputSpec,
    Node,
    OutputKind,
    OutputSpec,
    Program,
    Ref,
    Signature,
)
from lowering.ir.tree_spec import DICT, LEAF, TUPLE, TreeSpec
from lowering.ir.types import DType, TensorType, ValueType, contiguous

MATRIX = contiguous(DType.FLOAT32, (2, 3))


def f32(*sizes: int) -> TensorType:
    return contiguous(DType.FLOAT32, sizes)


def node(name: str, target: str, /, *positional: Arg, outputs: Any = "", line: int = 0, **named: Arg) -> Node:
    """A call. Texts that begin with % are values; its result has its own name unless `outputs` says."""
    args = [Argument("", _refs(value)) for value in positional]
    args += [Argument(key, _refs(value)) for key, value in named.items()]
    trace = f'  File "model.py", line {line}, in forward\n    pass' if line else ""
    return Node(name, target, tuple(args), (name,) if outputs == "" else outputs, Location(trace))


def _refs(value: Arg) -> Arg:
    if isinstance(value, str) and value.startswith("%"):
        return Ref(value[1:])
    return tuple(map(_refs, value)) if isinstance(value, tuple) else value


def graph(
    inputs: Iterable[str],
    nodes: Iterable[Node],
    returns: Iterable[Any],
    types: Mapping[str, ValueType] | None = None,
    name: str = "main",
) -> Graph:
    """A graph; values are 2x3 floats where `types` does not say otherwise."""
    inputs, nodes = tuple(inputs), tuple(nodes)
    names = [*inputs, *(result for item in nodes for result in item.results())]
    values = {value: (types or {}).get(value, MATRIX) for value in names}
    return Graph(tuple(map(Ref, inputs)), tuple(map(_refs, returns)), nodes, values, name)


def program(
    inputs: Iterable[str],
    nodes: Iterable[Node],
    returns: Iterable[Any],
    types: Mapping[str, ValueType] | None = None,
    buffers: Collection[str] = (),
) -> Program:
    """A program of one tuple of arguments, and of these inputs that are buffers of the same name."""
    main = graph(inputs, nodes, returns, types)
    specs = tuple(
        InputSpec(InputKind.BUFFER, name, name) if name in buffers else InputSpec(InputKind.USER, name)
        for name in inputs
    )
    positional = TreeSpec(TUPLE, "null", (LEAF,) * (len(specs) - len(buffers)))
    signature = Signature(
        specs,
        tuple(OutputSpec(OutputKind.USER, value) for value in main.outputs),
        TreeSpec(TUPLE, "null", (positional, TreeSpec(DICT, "[]"))),
        TreeSpec(TUPLE, "null", (LEAF,) * len(main.outputs)),
    )
    return Program(main, signature)


def chain(count: int) -> Program:
    """`x + x + x + ...`: nodes n0, n1, ..., each of which reads the one before it and x."""
    nodes = [
        node(f"n{i}", "aten.add.Tensor", self=f"%n{i - 1}" if i else "%x", other="%x") for i in range(count)
    ]
    return program(["x"], nodes, [f"%n{count - 1}"])
