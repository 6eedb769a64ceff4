"""Calls of allowed operators that no file may make: a `.pt2`, a program's JSON or an artifact.

Some trust what they are given: ATen's kernels write or read where such an argument says, without a look at
it. Bridge's rules and its checks before a call keep to the tensors all the same (docs/security.md). But real
models make no such call, and it would harm other readers of the file. Others do not end. So a reader refuses
the file, and `save` refuses to write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lowering.ir.allowed import endless
from lowering.ir.aten import schema
from lowering.ir.program import Arg, Graph, Node, Program, all_graphs, all_nodes, refs_of
from lowering.ir.uses import input_names

_POOLINGS = (
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("fractional_max_pool2d", "fractional_max_pool3d"),
)
# Positions that the forward pass wrote: they have to come from a node of the program.
_MADE_BY_A_NODE: Mapping[str, str] = {
    f"aten.{name}_backward.{kind}": "indices" for name in _POOLINGS for kind in ("default", "grad_input")
}
# With this flag an operator checks nothing.
_UNCHECKED: Mapping[str, str] = {
    "aten.segment_reduce.default": "unsafe",
}


def trusting_calls(program: Program) -> Iterator[str]:
    """A sentence for each call that a file may not make: node, operator, argument, what to do."""
    for graph in all_graphs(program.graph):
        yield from _of_one_graph(graph, graph is not program.graph)


def _of_one_graph(graph: Graph, nested: bool) -> Iterator[str]:
    outside: set[str] | None = None
    for node in graph.nodes:
        if (why := endless(node)) is not None:
            yield f"{_node(node)}: {why}; export the model without it"
        flag = _UNCHECKED.get(node.target)
        if flag is not None and _argument(node, flag) is True:
            yield f"{_called(node)} with {flag}=True: it would not check its arguments; export it without"
        name = _MADE_BY_A_NODE.get(node.target)
        if name is None:
            continue
        outside = _outside(graph) if outside is None else outside
        if outside.intersection(refs_of(_argument(node, name))):
            origin = f"the graph {graph.name}" if nested else "the program"
            yield (
                f"{_called(node)} with {name} from outside {origin}, which ATen does not check: export "
                "the forward and the backward pass as one program"
            )


def _called(node: Node) -> str:
    return f"{_node(node)}: a file may not call {node.target}"


def _node(node: Node) -> str:
    where = f" ({node.location})" if str(node.location) else ""
    return f"node {node.name}{where}"


def _argument(node: Node, name: str) -> Arg:
    found = schema(node.target)
    return None if found is None else found.bind(node.args)[name]


def _outside(graph: Graph) -> set[str]:
    """A graph's inputs, weights among them, and values that nodes without a pooling make of these alone."""
    outside = set(input_names(graph))
    for node in graph.nodes:
        pools = any("max_pool" in inner.target for inner in all_nodes([node]))
        if not pools and outside.issuperset(node.refs()):
            outside.update(node.results())
    return outside
