"""A map whose graph works element by element, as its operators on all rows at once instead of a loop."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.dims import row_major
from lowering.ir.facts.effects import draws
from lowering.ir.facts.elementwise import is_elementwise
from lowering.ir.facts.higher_order import is_map
from lowering.ir.program import Arg, Graph, Node, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import TensorType, ValueType
from lowering.passes.builder import Builder
from lowering.passes.program import graph_pass
from lowering.passes.rewriting import substitute, with_graphs


def all_rows_at_once(graph: Graph) -> Graph:
    """The graph, nested ones included, without maps of elementwise graphs."""
    nodes = tuple(with_graphs(node, all_rows_at_once) for node in graph.nodes)
    if not any(_is_elementwise(node) for node in nodes):
        same = all(made is node for made, node in zip(nodes, graph.nodes, strict=True))
        return graph if same else replace(graph, nodes=nodes)
    builder = Builder(graph)
    known: dict[str, Arg] = {}

    def read(name: str) -> Arg:
        return known.get(name, Ref(name))

    for node in nodes:
        node = replace(node, args=tuple(a._replace(value=substitute(a.value, read)) for a in node.args))
        if _is_elementwise(node):
            known.update(_dissolve(builder, node))
        else:
            builder.nodes.append(node)
    for name in known:
        builder.values.pop(name, None)
    outputs = tuple(substitute(output, read) for output in graph.outputs)
    return replace(graph, nodes=tuple(builder.nodes), outputs=outputs, values=builder.values)


BATCH_MAPS = graph_pass(
    "batch-maps",
    all_rows_at_once,
    "Run the graph of a map on all rows at once where it works element by element.",
)


def _parts(node: Node) -> tuple[Graph, tuple[Ref, ...], tuple[Arg, ...]] | None:
    """The graph, the mapped operands, and the other operands; None for other arguments."""
    graph, mapped, *rest = (argument.value for argument in node.args)
    others = rest[0] if rest else ()
    if not isinstance(graph, Graph) or not isinstance(mapped, tuple) or not isinstance(others, tuple):
        return None
    refs = tuple(item for item in mapped if isinstance(item, Ref))
    if not refs or len(refs) != len(mapped) or len(graph.inputs) != len(refs) + len(others):
        return None
    return graph, refs, others


def _is_elementwise(node: Node) -> bool:
    """Whether it is a map, each node of whose graph is elementwise, with one result, on tensors of one dtype.
    With equal dtypes, a tensor without axes may become one with rows: the result's dtype stays."""
    parts = _parts(node) if is_map(node.target) else None
    if parts is None:
        return False
    graph, mapped, _ = parts
    rows = {item.name for item in graph.inputs[: len(mapped)] if isinstance(item, Ref)}
    for inside in graph.nodes:
        known = schema(inside.target)
        if known is None or not is_elementwise(inside.target):
            return False
        if draws(inside, known) or any(p.writes for p in known.parameters):
            return False
        types = [graph.values.get(name) for name in inside.refs()]
        tensors = [type_ for type_ in types if isinstance(type_, TensorType)]
        if inside.target.startswith("aten.where."):
            tensors = tensors[1:]
        results = list(inside.results())
        if len({type_.dtype for type_ in tensors}) > 1 or len(results) != 1:
            return False
        if not isinstance(graph.values.get(results[0]), TensorType):
            return False
        rows.update(results if not rows.isdisjoint(inside.refs()) else ())
    return all(isinstance(output, Ref) and output.name in rows for output in graph.outputs)


def _dissolve(builder: Builder, node: Node) -> dict[str, Arg]:
    """Append the graph's nodes on whole tensors; gives the values of the node's results."""
    parts = _parts(node)
    assert parts is not None
    graph, mapped, others = parts
    length = builder.tensor(mapped[0].name).sizes[0]
    held: dict[str, Arg] = {
        item.name: given
        for item, given in zip(graph.inputs, (*mapped, *others), strict=True)
        if isinstance(item, Ref)
    }
    rows = {item.name for item in graph.inputs[: len(mapped)] if isinstance(item, Ref)}
    for inside in graph.nodes:
        builder.location = inside.location
        (result,) = inside.results()
        rank = _rank(graph.values[result])

        def read(name: str, rank: int = rank) -> Arg:
            given = held[name]
            missing = rank - _rank(graph.values[name])
            if name not in rows or missing <= 0 or not isinstance(given, Ref):
                return given
            return _with_axes(builder, given, missing)

        args = tuple(a._replace(value=substitute(a.value, read)) for a in inside.args)
        name = builder.new_name(result)
        builder.nodes.append(replace(inside, name=name, args=args, outputs=(name,)))
        held[result] = Ref(name)
        if rows.isdisjoint(inside.refs()):
            builder.values[name] = graph.values[result]
        else:
            rows.add(result)
            builder.values[name] = _of_rows(graph.values[result], length)
    made: dict[str, Arg] = {}
    for name, output in zip(node.results(), graph.outputs, strict=True):
        assert isinstance(output, Ref)
        made[name] = held[output.name]
        if held[output.name] in mapped:
            # A row that is returned as it is: the result of a map shares its elements with nothing.
            made[name] = _copy(builder, mapped[mapped.index(held[output.name])])
    return made


def _rank(type_: ValueType) -> int:
    return len(type_.sizes) if isinstance(type_, TensorType) else 0


def _of_rows(type_: ValueType, length: Dim) -> TensorType:
    assert isinstance(type_, TensorType)
    sizes = (length, *type_.sizes)
    return replace(type_, sizes=sizes, strides=row_major(sizes), offset=0)


def _with_axes(builder: Builder, value: Ref, count: int) -> Ref:
    """Axes of size 1 behind the axis of rows, so that rows of fewer axes broadcast as before."""
    for _ in range(count):
        type_ = builder.tensor(value.name)
        sizes = (type_.sizes[0], 1, *type_.sizes[1:])
        strides = (type_.strides[0], 1, *type_.strides[1:])
        wider = replace(type_, sizes=sizes, strides=strides)
        value = Ref(builder.call("aten.unsqueeze.default", wider, self=value, dim=1))
    return value


def _copy(builder: Builder, value: Ref) -> Ref:
    type_ = builder.tensor(value.name)
    return Ref(builder.call("aten.clone.default", builder.cloned(type_), self=value))
