"""Writes to a slice that begins and ends at numbers from the data, as a window of a known length.

Of `cache[:, p:p + 1] = row` the exporter does not know the length: Python takes fewer elements near the end.
The window holds as many as `end - start`, and lies on the axis whole. A place of it that the slice leaves out
keeps its old element.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from lowering.ir.facts.checks import asserts_number
from lowering.ir.facts.namespaces import base_name, is_python
from lowering.ir.polynomials import added as difference_of
from lowering.ir.polynomials import polynomial
from lowering.ir.program import Arg, Graph, Node, Ref
from lowering.ir.symbols import Apply, Symbol, Term
from lowering.ir.types import DType, SymType, TensorType
from lowering.ir.unbacked import symbols_of_node, unbacked
from lowering.ir.uses import output_names, producers
from lowering.passes.builder import Builder
from lowering.passes.picks import SCATTER, SLICE, between
from lowering.passes.program import FUNCTIONAL, graph_pass
from lowering.passes.rewriting import bound_arguments, defined_values, with_graphs
from lowering.passes.scalars import added, greater, smaller, wrapped


class _Write(NamedTuple):
    """A write of `value` to a slice. `nodes`: those that it takes, the last of which gives the new value;
    `length`: of the window."""

    nodes: tuple[Node, ...]
    value: Ref
    length: int
    symbol: str


def slices_as_windows(graph: Graph) -> Graph:
    """The graph, nested ones included, with a window for each such write."""
    nodes = tuple(with_graphs(node, slices_as_windows) for node in graph.nodes)
    if any(made is not node for made, node in zip(nodes, graph.nodes, strict=True)):
        graph = replace(graph, nodes=nodes)
    for node in graph.nodes:
        if node.target == SCATTER and (write := _matched(graph, node)):
            return slices_as_windows(_rewritten(graph, write))
    return graph


def _matched(graph: Graph, scatter: Node) -> _Write | None:
    makers = producers(graph.nodes)
    given = bound_arguments(scatter)
    copy, source_name = _copied(makers, given["src"])
    taken = _maker(makers, bound_arguments(copy)["self"], SLICE) if copy else None
    if copy is None or taken is None or not copy.functional:
        return None
    window = bound_arguments(taken)
    ends = [given[name] for name in ("dim", "start", "end", "step")]
    if ends != [window[name] for name in ("dim", "start", "end", "step")] or ends[3] != 1:
        return None
    dim, start, end = ends[:3]
    into, part = _tensor(graph, given["self"]), _tensor(graph, given["src"])
    if into is None or part is None or not isinstance(dim, int):
        return None
    symbols, length = unbacked(part), _length(graph, start, end)
    size = into.sizes[dim]
    if not isinstance(part.sizes[dim], Symbol) or not isinstance(size, int) or length is None:
        return None
    symbol = str(part.sizes[dim])
    value = bound_arguments(copy)[source_name]
    spread = _maker(makers, value, "aten.expand.default")
    if spread is not None and symbol in symbols_of_node(graph, spread, reads=False):
        value = bound_arguments(spread)["self"]
    source = _tensor(graph, value)
    behind = into.rank - dim % into.rank
    if source is None or not isinstance(value, Ref) or source.rank > into.rank or symbol not in symbols:
        return None
    if (source.rank >= behind and source.sizes[-behind] != 1) or not 0 < length <= size:
        return None
    expanded = () if spread is None or value == bound_arguments(copy)[source_name] else (spread,)
    own = (taken, *expanded, copy, scatter)
    return _Write(own, value, length, symbol) if _is_alone(graph, own, symbol, size) else None


def _copied(makers: dict[str, Node], value: Arg) -> tuple[Node | None, str]:
    """The node that copies to the slice, and its argument that is copied."""
    for target, source in (("aten.copy_.default", "src"), ("aten.fill_.Tensor", "value")):
        if (node := _maker(makers, value, target)) is not None:
            return node, source
    return None, ""


def _maker(makers: dict[str, Node], value: Arg, target: str) -> Node | None:
    node = makers.get(value.name) if isinstance(value, Ref) else None
    return node if node is not None and node.target == target else None


def _tensor(graph: Graph, value: Arg) -> TensorType | None:
    type_ = graph.values.get(value.name) if isinstance(value, Ref) else None
    return type_ if isinstance(type_, TensorType) else None


def _length(graph: Graph, start: Arg, end: Arg) -> int | None:
    """How far apart the ends are, if that is known; None also for ends that are."""
    terms = [_term(graph, bound) for bound in (start, end)]
    if any(term is None for term in terms):
        return None
    rest = difference_of(polynomial(terms[1] or 0), polynomial(terms[0] or 0), -1)
    only = rest.get((), 0) if set(rest) <= {()} else None
    return int(only) if only is not None else None


def _term(graph: Graph, bound: Arg) -> Term | None:
    type_ = graph.values.get(bound.name) if isinstance(bound, Ref) else None
    return type_.value if isinstance(type_, SymType) else None


def _is_alone(graph: Graph, own: tuple[Node, ...], symbol: str, size: int) -> bool:
    """Whether nothing else depends on how many elements the slice has, but assertions that always hold."""
    inner = {name for node in own[:-1] for name in node.results()}
    if not inner.isdisjoint(output_names(graph)):
        return False
    for node in graph.nodes:
        if any(node is other for other in own):
            continue
        reads, about = not inner.isdisjoint(node.refs()), symbol in symbols_of_node(graph, node)
        if (reads or about) and not _counts(graph, node, symbol, size):
            return False
    return symbol not in {
        name for output in output_names(graph) for name in unbacked(graph.values.get(output))
    }


def _counts(graph: Graph, node: Node, symbol: str, size: int) -> bool:
    """Whether a node gives the length of the slice, computes with it, or asserts what always holds of it."""
    if asserts_number(node.target):
        condition = node.args[0].value
        value = _term(graph, condition)
        if node.outputs or not isinstance(value, Apply) or value.args[0] != Symbol(symbol):
            return False
        end = value.args[1]
        low = value.op == "GreaterThan" and isinstance(end, int) and end <= 0
        return low or (value.op == "LessThan" and isinstance(end, int) and end >= size)
    numbers = [graph.values[name] for name in node.results()]
    about = all(isinstance(type_, SymType) and symbol in unbacked(type_) for type_ in numbers)
    return bool(numbers) and about and (is_python(node.target) or base_name(node.target) == "sym_size")


# ------------------------------------------------------------------------------------------------ rewriting


def _rewritten(graph: Graph, write: _Write) -> Graph:
    builder = Builder(graph)
    *inner, scatter = write.nodes
    into = builder.tensor(_name(bound_arguments(scatter)["self"]))
    dim = bound_arguments(scatter)["dim"]
    assert isinstance(dim, int)
    size = into.sizes[dim]
    assert isinstance(size, int)
    for node in graph.nodes:
        builder.location = node.location
        if node is scatter:
            _window(builder, node, write, size)
        elif any(node is other for other in inner):
            continue
        elif write.symbol not in symbols_of_node(graph, node) or not _counts(graph, node, write.symbol, size):
            builder.nodes.append(node)
    nodes = tuple(builder.nodes)
    return replace(graph, nodes=nodes, values=defined_values(graph.inputs, nodes, builder.values))


def _name(arg: Arg) -> str:
    assert isinstance(arg, Ref)
    return arg.name


def _window(builder: Builder, scatter: Node, write: _Write, size: int) -> None:
    """Append the nodes that write the window, the last of them under the name of the write."""
    given, length = bound_arguments(scatter), write.length
    old, dim = given["self"], given["dim"]
    into = builder.tensor(_name(old))
    assert isinstance(dim, int)
    low, high = (wrapped(builder, given[name], size) for name in ("start", "end"))
    first = greater(builder, smaller(builder, low, size - length), 0)
    sizes = tuple(length if axis == dim % into.rank else s for axis, s in enumerate(into.sizes))
    part = replace(into, sizes=sizes)
    kept = builder.call("aten.narrow.default", part, self=old, dim=dim, start=first, length=length)
    hit = between(builder, length, first, low, high, into.rank - dim % into.rank - 1)
    new = _cast(builder, write.value, into.dtype)
    made = replace(builder.cloned(part), requires_grad=False)
    chosen = builder.call("aten.where.self", made, condition=Ref(hit), self=new, other=Ref(kept))
    changed = {"src": Ref(chosen), "start": first, "end": added(builder, first, length)}
    args = tuple(a._replace(value=changed.get(a.name, a.value)) for a in scatter.args)
    builder.nodes.append(replace(scatter, args=args))


def _cast(builder: Builder, value: Ref, dtype: DType) -> Ref:
    type_ = builder.tensor(value.name)
    if type_.dtype is dtype:
        return value
    made = replace(builder.cloned(type_), dtype=dtype)
    return Ref(builder.call("aten._to_copy.default", made, self=value, dtype=dtype))


SLICED_WRITES = graph_pass(
    "window-sliced-writes",
    slices_as_windows,
    "Write a slice that begins at a number from the data as a window of a known length.",
    requires=(FUNCTIONAL,),
)
