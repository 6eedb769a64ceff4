"""Writes to the elements that a mask or a slice picks, as a choice between old and new elements.

`x[m] *= 2` reads the picked elements, whose number only the data gives; so does `x[p:q] *= 2` between ends
from the data. Both compute with the elements one by one, and write them back to their places. The same
computation on all elements needs no such size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from lowering.ir.aten import schema
from lowering.ir.dims import row_major
from lowering.ir.facts.checks import asserts_metadata, asserts_number
from lowering.ir.facts.effects import draws
from lowering.ir.facts.elementwise import is_elementwise
from lowering.ir.facts.namespaces import base_name, is_python
from lowering.ir.facts.views import gives_sizes
from lowering.ir.program import Arg, Argument, Graph, Node, Ref
from lowering.ir.symbols import Apply, Dim, Symbol, Term, substituted
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.ir.unbacked import binders, symbols_of_node, unbacked
from lowering.ir.uses import output_names
from lowering.passes.builder import Builder
from lowering.passes.picks import SLICE, Found, Pick, Sliced, is_part, picked, puts_back, spreads
from lowering.passes.program import FUNCTIONAL, graph_pass
from lowering.passes.rewriting import defined_values, substitute, with_graphs


@dataclass
class _Found:
    """All that is computed with picked elements.

    `picks`, `derived`: by value, what it is and what it is made of. `writes`: nodes that write such back.
    `counting`: nodes about their number alone. `counts`: by symbol of its own, whose number it is. `lengths`:
    how long a slice is. `spread`: by value, what it broadcasts. `spoiled`: those that something else reads.
    `outer`: what a pick is itself picked of. `binder`: the nodes that show symbols first.
    """

    binder: Mapping[str, str]

    picks: dict[str, Pick] = field(default_factory=dict)
    derived: dict[str, Pick] = field(default_factory=dict)
    writes: dict[str, Pick] = field(default_factory=dict)
    counting: dict[str, Pick] = field(default_factory=dict)
    counts: dict[str, Pick] = field(default_factory=dict)
    lengths: dict[Pick, set[Term]] = field(default_factory=dict)
    spread: dict[str, Ref] = field(default_factory=dict)
    spoiled: set[Pick] = field(default_factory=set)
    outer: dict[Pick, set[Pick]] = field(default_factory=dict)
    by_length: dict[Term, set[Pick]] = field(default_factory=dict)

    def add(self, name: str, found: Found, about: set[Pick]) -> None:
        """Note what a node picks of those that it is about: what is picked of these comes first."""
        pick = found.pick
        self.spoiled |= about
        self.outer[pick] = about.union(*(self.outer.get(other, set()) for other in about))
        self.picks[name] = self.derived[name] = pick
        self.counts.update(dict.fromkeys(found.own, pick))
        if found.length is not None:
            self.lengths.setdefault(pick, set()).add(found.length)
            self.by_length.setdefault(found.length, set()).add(pick)

    def counted(self, symbols: Iterable[str]) -> set[Pick]:
        """The picks whose number these symbols say."""
        return {self.counts[symbol] for symbol in symbols if symbol in self.counts}

    def as_long(self, sizes: Iterable[Dim]) -> set[Pick]:
        """The slices that are as long as one of these sizes."""
        return {pick for size in sizes if not isinstance(size, int) for pick in self.by_length.get(size, ())}


def masked_writes_as_choices(graph: Graph) -> Graph:
    """The graph, nested ones included, with a `where` for each such write."""
    nodes = tuple(with_graphs(node, masked_writes_as_choices) for node in graph.nodes)
    if any(made is not node for made, node in zip(nodes, graph.nodes, strict=True)):
        graph = replace(graph, nodes=nodes)
    while True:
        alike = _with_equal_lengths(graph)
        found = _find(alike)
        wanted = set(found.writes.values()) - found.spoiled
        if not wanted:
            return graph
        graph = _rewritten(alike, found, wanted)


# ------------------------------------------------------------------------------------------------ analysis


def _with_equal_lengths(graph: Graph) -> Graph:
    """The graph with one symbol for the lengths of slices between the same ends of equally large tensors."""
    binder = binders(graph)
    first: dict[Pick, Symbol] = {}
    renamed: dict[str, Term] = {}
    for node in graph.nodes:
        found = picked(graph, node, binder) if node.target == SLICE else None
        if found is None or not isinstance(found.length, Symbol) or not found.own:
            continue
        pick = found.pick
        sizes = tuple(cast("Dim", substituted(size, renamed)) for size in pick.sizes)
        length = first.setdefault(pick._replace(sizes=sizes), found.length)
        if length != found.length:
            renamed[found.length.name] = length
    if not renamed:
        return graph
    values = {name: _renamed(type_, renamed) for name, type_ in graph.values.items()}
    return replace(graph, values=values)


def _renamed(type_: ValueType, terms: Mapping[str, Term]) -> ValueType:
    if isinstance(type_, SymType):
        return replace(type_, value=substituted(type_.value, terms))
    if not isinstance(type_, TensorType) or not unbacked(type_):
        return type_
    sizes, strides = (
        tuple(cast("Dim", substituted(term, terms)) for term in part) for part in (type_.sizes, type_.strides)
    )
    return replace(type_, sizes=sizes, strides=strides)


def _find(graph: Graph) -> _Found:
    found = _Found(binders(graph))
    for node in graph.nodes:
        _visit(graph, node, found)
    for name in output_names(graph):
        found.spoiled |= {found.derived[name]} if name in found.derived else set()
        found.spoiled |= found.counted(unbacked(graph.values.get(name)))
    return found


def _visit(graph: Graph, node: Node, found: _Found) -> None:
    about = {found.derived[name] for name in node.refs() if name in found.derived}
    pick = picked(graph, node, found.binder)
    if pick is not None and (not about or isinstance(pick.pick, Sliced)):
        found.add(next(node.results()), pick, about)
        return
    about |= found.counted(symbols_of_node(graph, node))
    made = graph.values.get(next(node.results(), ""))
    if not about and gives_sizes(node.target) and isinstance(made, TensorType):
        # A tensor as long as a slice, which it may never meet.
        near = [pick for pick in found.as_long(made.sizes) if spreads(graph, node, pick, found.lengths[pick])]
        about = set(near) if len(near) == 1 else set()
    about -= set().union(*(found.outer.get(other, set()) for other in about))
    if len(about) != 1:
        found.spoiled |= about
        return
    (only,) = about
    if (write := puts_back(graph, node, only)) and _is_of(found, write, only):
        found.writes[node.name] = only
    elif source := spreads(graph, node, only, found.lengths.get(only, ())):
        (name,) = node.results()
        found.derived[name], found.spread[name] = only, source
    elif _is_elementwise(graph, node, only, found):
        (name,) = node.results()
        found.derived[name] = only
    elif _counts(graph, node, found):
        found.counting[node.name] = only
    elif not _asserts_no_sizes(node):
        found.spoiled.add(only)


def _asserts_no_sizes(node: Node) -> bool:
    """Whether a node asserts of picked elements what is true of all."""
    given = {a.name: a.value for a in node.args}
    return asserts_metadata(node.target) and given.get("size") is None and given.get("stride") is None


def _is_of(found: _Found, write: tuple[Ref, Ref], pick: Pick) -> bool:
    """Whether picked elements are written, to a tensor that is not of such."""
    target, values = write
    return found.derived.get(values.name) == pick and found.derived.get(target.name) != pick


def _counts(graph: Graph, node: Node, found: _Found) -> bool:
    """Whether a node gives the number of picked elements, computes with it, or asserts what always holds."""
    if asserts_number(node.target):
        return not node.outputs and _is_trivial(graph, node, found)
    results = [graph.values[name] for name in node.results()]
    numbers = all(isinstance(type_, SymType) and found.counted(unbacked(type_)) for type_ in results)
    return bool(results) and numbers and (is_python(node.target) or base_name(node.target) == "sym_size")


def _is_elementwise(graph: Graph, node: Node, pick: Pick, found: _Found) -> bool:
    """Whether a node computes with picked elements and with operands that broadcast to each of them alike."""
    known, results = schema(node.target), list(node.results())
    if found.derived.keys().isdisjoint(node.refs()):
        return False
    # A copy to a slice is of elements one by one, as are arithmetic and casts.
    pointwise = is_elementwise(node.target) or base_name(node.target) in ("copy", "fill", "zero")
    if known is None or not pointwise or draws(node, known) or len(results) != 1:
        return False
    made = graph.values[results[0]]
    if not isinstance(made, TensorType) or (_divides(node.target) and not made.dtype.is_floating):
        return False
    if not is_part(made.sizes, pick, found.lengths.get(pick, ())):
        return False
    for name in node.refs():
        type_ = graph.values.get(name)
        if isinstance(type_, TensorType) and found.derived.get(name) != pick and not pick.alike(type_.sizes):
            return False
        if isinstance(type_, SymType) and not unbacked(type_).isdisjoint(found.counts):
            return False
    return True


def _divides(target: str) -> bool:
    """Whether eager raises at integers that are 0: one that the mask leaves out may be."""
    return base_name(target).rstrip("_") in (
        "div", "divide", "floor_divide", "remainder", "fmod", "pow", "gcd", "lcm"
    )  # fmt: skip


def _is_trivial(graph: Graph, node: Node, found: _Found) -> bool:
    """Whether an assertion about numbers of picked elements always holds."""
    condition = node.args[0].value
    type_ = graph.values.get(condition.name) if isinstance(condition, Ref) else None
    return isinstance(type_, SymType) and _holds(type_.value, found)


def _holds(value: Term, found: _Found) -> bool:
    """Whether a claim holds of any pick: 0 elements or more, at most all of them, and two picks alike."""
    if not isinstance(value, Apply):
        return False
    if value.op == "Or":
        return any(_holds(part, found) for part in value.args)
    if value.op not in ("GreaterThan", "LessThan", "Equality"):
        return False
    count, end = value.args
    if not isinstance(count, Symbol) or count.name not in found.counts:
        return False
    pick = found.counts[count.name]
    if value.op == "Equality":
        return isinstance(end, Symbol) and found.counts.get(end.name) == pick
    most = pick.most()
    if value.op == "GreaterThan":
        return isinstance(end, int) and end <= 0
    return isinstance(end, int) and isinstance(most, int) and end >= most


# ------------------------------------------------------------------------------------------------ rewriting


def _rewritten(graph: Graph, found: _Found, wanted: set[Pick]) -> Graph:
    builder = Builder(graph)
    held: dict[str, Arg] = {}

    def read(name: str) -> Arg:
        return held.get(name, Ref(name))

    for node in graph.nodes:
        builder.location = node.location
        name = next(node.results(), "")
        pick = found.derived.get(name)
        if found.picks.get(name) in wanted:
            held[name] = read(next(iter(node.refs())))
        elif found.writes.get(node.name) in wanted:
            builder.nodes.append(_choice(builder, graph, node, found.writes[node.name], read))
        elif name in found.spread and pick in wanted and found.derived.get(found.spread[name].name) == pick:
            held[name] = read(found.spread[name].name)
        elif found.counting.get(node.name) not in wanted:
            args = tuple(a._replace(value=substitute(a.value, read)) for a in node.args)
            if pick in wanted and pick is not None:
                builder.values[name] = _whole(builder, name, pick)
                args = _spread(args, pick) if name in found.spread else args
            builder.nodes.append(replace(node, args=args))
    nodes = tuple(builder.nodes)
    return replace(graph, nodes=nodes, values=defined_values(graph.inputs, nodes, builder.values))


def _whole(builder: Builder, name: str, pick: Pick) -> TensorType:
    return replace(builder.tensor(name), sizes=pick.sizes, strides=row_major(pick.sizes), offset=0)


def _spread(args: tuple[Argument, ...], pick: Pick) -> tuple[Argument, ...]:
    """The arguments of an `expand` to the sizes of a slice, as of one to those of the whole."""
    assert isinstance(pick, Sliced)
    size = pick.sizes[pick.axis]
    assert isinstance(size, int)
    return tuple(
        a._replace(value=(*a.value[: pick.axis], size, *a.value[pick.axis + 1 :]))
        if a.name == "size" and isinstance(a.value, tuple)
        else a
        for a in args
    )


def _choice(builder: Builder, graph: Graph, node: Node, pick: Pick, read: Callable[[str], Arg]) -> Node:
    write = puts_back(graph, node, pick)
    assert write is not None
    old, new = write
    flags = Ref(pick.condition(builder, node))
    args = (("condition", flags), ("self", read(new.name)), ("other", read(old.name)))
    return Node(
        node.name,
        "aten.where.self",
        tuple(Argument(name, value) for name, value in args),
        node.outputs,
        node.location,
    )


MASKED_WRITES = graph_pass(
    "choose-masked-writes",
    masked_writes_as_choices,
    "Compute with all elements where those that a mask or a slice picks are written back.",
    requires=(FUNCTIONAL,),
)
