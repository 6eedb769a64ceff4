"""Offsets that torch's exporter notes for views otherwise than eager gives them, put right.

The schemas of views of `prims` say views, but torch's registry does not. The exporter notes their first call
in a process rightly. For a later one it makes up a tensor with memory of its own, at offset 0. Views of those
views are wrong by as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.program import Graph, Node, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import TensorType, ValueType
from lowering.ir.views import Form, View, relations
from lowering.passes.program import graph_pass
from lowering.passes.rewriting import with_graphs

# Views of their source's first element.
_FROM_FIRST = (Form.IDENTITY, Form.RESHAPE, Form.PERMUTE, Form.ONE_WAY, Form.CONJUGATE)


def with_offsets(graph: Graph) -> Graph:
    """The graph, nested ones included, with eager's offsets of views of `prims` and of their views."""
    values: dict[str, ValueType] = dict(graph.values)
    wrong: dict[str, ValueType] = {}
    for node in graph.nodes:
        for name, offset in _offsets(node, values, graph.values):
            noted = values.get(name)
            if isinstance(noted, TensorType) and noted.offset != offset:
                wrong[name] = values[name] = replace(noted, offset=offset)
    nodes = tuple(with_graphs(node, with_offsets) for node in graph.nodes)
    if not wrong and all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return graph
    return replace(graph, nodes=nodes, values=values)


def _offsets(
    node: Node, values: Mapping[str, ValueType], noted: Mapping[str, ValueType]
) -> Iterator[tuple[str, Dim]]:
    """The offsets of results that are views, where numbers tell them. `noted`: the types before this pass."""
    known = schema(node.target)
    if known is None:
        return
    bound = known.bind(node.args)
    views = {name: view for name, view in relations(node, known, bound, values).items() if view}
    for index, output in enumerate(node.outputs[: len(known.returns)]):
        # A written argument is returned as it is.
        for argument in known.aliased(index)[:1] if known.returns[index].writes else ():
            written = bound[argument]
            if isinstance(output, str) and isinstance(written, Ref):
                views[output] = View(written.name, Form.IDENTITY)
    for name, view in views.items():
        if isinstance(view, View):
            types = (values.get(view.source), noted.get(view.source), noted.get(name))
            offset = _offset(node, view, *types)
            if offset is not None:
                yield name, offset


def _offset(node: Node, view: View, *types: ValueType | None) -> Dim | None:
    """`types`: of the source, as noted of the source, as noted of the view."""
    first, noted_first, found = (t.offset if isinstance(t, TensorType) else None for t in types)
    if first is None:
        return None
    if view.form is Form.AS_STRIDED:
        given = view.data[2]
        return first if given is None else given if isinstance(given, int) else None
    if node.target.startswith("prims.") and view.form in _FROM_FIRST:
        return first
    if not isinstance(first, int):
        return None
    if node.target.startswith("prims.") and view.form in (Form.REAL, Form.IMAG):
        return 2 * first + (view.form is Form.IMAG)
    # torch's registry knows this view: the exporter counted from what it had noted.
    if not isinstance(noted_first, int) or not isinstance(found, int) or first == noted_first:
        return None
    return found + first - noted_first


CORRECT_OFFSETS = graph_pass(
    "correct-offsets",
    with_offsets,
    "Give views of prims eager's offsets where the exporter noted others.",
    required=True,
)
