"""Writes to the elements that a mask picks, as a choice between old and new elements in their places.

`x[m] *= 2` reads the picked elements, whose number only the data gives. It computes with them element by
element, and writes them back by the same mask. The same computation on all elements needs no such size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lowering.ir.aten import schema
from lowering.ir.dims import product, row_major
from lowering.ir.facts.checks import asserts_number
from lowering.ir.facts.effects import draws
from lowering.ir.facts.elementwise import is_elementwise
from lowering.ir.facts.indices import puts_points, takes_points
from lowering.ir.facts.namespaces import base_name, is_python
from lowering.ir.program import Arg, Argument, Graph, Node, Ref
from lowering.ir.symbols import Apply, Dim, Symbol
from lowering.ir.types import DType, SymType, TensorType
from lowering.ir.unbacked import symbols_of_node, unbacked
from lowering.ir.uses import output_names
from lowering.passes.builder import Builder
from lowering.passes.program import FUNCTIONAL, graph_pass
from lowering.passes.rewriting import defined_values, substitute, with_graphs


class _Picked(NamedTuple):
    """The elements that a mask picks: of axes `place` and on, of tensors of these sizes."""

    mask: str
    place: int
    sizes: tuple[Dim, ...]


@dataclass
class _Found:
    """All that is computed with picked elements.

    `picks`, `derived`: by value, what it is and what it is made of. `writes`: nodes that write such back.
    `counting`: nodes about their number alone. `counts`: by symbol, whose number it is. `spoiled`: those that
    something else reads.
    """

    picks: dict[str, _Picked] = field(default_factory=dict)
    derived: dict[str, _Picked] = field(default_factory=dict)
    writes: dict[str, _Picked] = field(default_factory=dict)
    counting: dict[str, _Picked] = field(default_factory=dict)
    counts: dict[str, _Picked] = field(default_factory=dict)
    spoiled: set[_Picked] = field(default_factory=set)


def masked_writes_as_choices(graph: Graph) -> Graph:
    """The graph, nested ones included, with a `where` for each such write."""
    nodes = tuple(with_graphs(node, masked_writes_as_choices) for node in graph.nodes)
    if any(made is not node for made, node in zip(nodes, graph.nodes, strict=True)):
        graph = replace(graph, nodes=nodes)
    found = _find(graph)
    wanted = set(found.writes.values()) - found.spoiled
    return _rewritten(graph, found, wanted) if wanted else graph


# ------------------------------------------------------------------------------------------------ analysis


def _find(graph: Graph) -> _Found:
    found = _Found()
    for node in graph.nodes:
        _visit(graph, node, found)
    for name in output_names(graph):
        found.spoiled |= {found.derived[name]} if name in found.derived else set()
        found.spoiled |= _counted(found, unbacked(graph.values.get(name)))
    return found


def _counted(found: _Found, symbols: Iterable[str]) -> set[_Picked]:
    return {found.counts[symbol] for symbol in symbols if symbol in found.counts}


def _visit(graph: Graph, node: Node, found: _Found) -> None:
    given = {a.name: a.value for a in node.args}
    made_of = {found.derived[name] for name in node.refs() if name in found.derived}
    if not made_of and takes_points(node.target) and (picked := _picked(graph, node, given)):
        (name,) = node.results()
        found.picks[name] = found.derived[name] = picked
        found.counts.update(dict.fromkeys(unbacked(graph.values[name]), picked))
        return
    about = made_of | _counted(found, symbols_of_node(graph, node))
    if len(about) != 1:
        found.spoiled |= about
        return
    (picked,) = about
    if _is_written_back(graph, node, given, picked, found):
        found.writes[node.name] = picked
    elif _is_elementwise(graph, node, picked, found):
        (name,) = node.results()
        found.derived[name] = picked
    elif _counts(graph, node, found):
        found.counting[node.name] = picked
    else:
        found.spoiled.add(picked)


def _counts(graph: Graph, node: Node, found: _Found) -> bool:
    """Whether a node gives the number of picked elements, computes with it, or asserts what always holds."""
    if asserts_number(node.target):
        return not node.outputs and _is_trivial(graph, node, found)
    results = [graph.values[name] for name in node.results()]
    numbers = all(isinstance(type_, SymType) and _counted(found, unbacked(type_)) for type_ in results)
    return bool(results) and numbers and (is_python(node.target) or base_name(node.target) == "sym_size")


def _mask(graph: Graph, given: Mapping[str, Arg]) -> tuple[str, int] | None:
    """The one mask among indices, and its place."""
    indices = given.get("indices")
    used = [(at, item) for at, item in enumerate(indices if isinstance(indices, tuple) else ()) if item]
    place, mask = used[0] if len(used) == 1 else (0, None)
    type_ = graph.values.get(mask.name) if isinstance(mask, Ref) else None
    if not isinstance(mask, Ref) or not isinstance(type_, TensorType):
        return None
    return (mask.name, place) if type_.dtype is DType.BOOL and type_.rank else None


def _picked(graph: Graph, node: Node, given: Mapping[str, Arg]) -> _Picked | None:
    source, mask = given.get("self"), _mask(graph, given)
    type_ = graph.values.get(source.name) if isinstance(source, Ref) else None
    return _Picked(*mask, type_.sizes) if mask and isinstance(type_, TensorType) else None


def _is_written_back(
    graph: Graph, node: Node, given: Mapping[str, Arg], picked: _Picked, found: _Found
) -> bool:
    if not puts_points(node.target) or given.get("accumulate") not in (None, False):
        return False
    target, values = given.get("self"), given.get("values")
    if not isinstance(target, Ref) or not isinstance(values, Ref) or target.name in found.derived:
        return False
    into, new = graph.values[target.name], graph.values[values.name]
    assert isinstance(into, TensorType)
    assert isinstance(new, TensorType)
    fits = values.name in found.derived and new.dtype is into.dtype and into.sizes == picked.sizes
    return fits and _mask(graph, given) == (picked.mask, picked.place)


def _is_elementwise(graph: Graph, node: Node, picked: _Picked, found: _Found) -> bool:
    """Whether a node computes with picked elements and with operands that broadcast to each of them alike."""
    known, results = schema(node.target), list(node.results())
    if found.derived.keys().isdisjoint(node.refs()):
        return False
    if known is None or not is_elementwise(node.target) or draws(node, known) or len(results) != 1:
        return False
    made, mask = graph.values[results[0]], graph.values[picked.mask]
    assert isinstance(mask, TensorType)
    if not isinstance(made, TensorType) or (_divides(node.target) and not made.dtype.is_floating):
        return False
    behind = len(picked.sizes) - picked.place - mask.rank
    for name in node.refs():
        type_ = graph.values.get(name)
        if isinstance(type_, TensorType) and name not in found.derived and type_.rank > behind:
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
    """Whether a number of picked elements is asserted to be 0 or more, or at most that of the mask's."""
    condition = node.args[0].value
    type_ = graph.values.get(condition.name) if isinstance(condition, Ref) else None
    value = type_.value if isinstance(type_, SymType) else None
    if not isinstance(value, Apply) or value.op not in ("GreaterThan", "LessThan"):
        return False
    count, end = value.args
    if not isinstance(count, Symbol) or count.name not in found.counts or not isinstance(end, int):
        return False
    if value.op == "GreaterThan":
        return end <= 0
    mask = graph.values[found.counts[count.name].mask]
    most = product(mask.sizes) if isinstance(mask, TensorType) else None
    return isinstance(most, int) and end >= most


# ------------------------------------------------------------------------------------------------ rewriting


def _rewritten(graph: Graph, found: _Found, wanted: set[_Picked]) -> Graph:
    builder = Builder(graph)
    held: dict[str, Arg] = {}

    def read(name: str) -> Arg:
        return held.get(name, Ref(name))

    for node in graph.nodes:
        builder.location = node.location
        name = next(node.results(), "")
        if found.picks.get(name) in wanted:
            held[name] = read(next(iter(node.refs())))
        elif found.writes.get(node.name) in wanted:
            builder.nodes.append(_choice(builder, node, found.writes[node.name], read))
        elif found.counting.get(node.name) not in wanted:
            args = tuple(a._replace(value=substitute(a.value, read)) for a in node.args)
            builder.nodes.append(replace(node, args=args))
            picked = found.derived.get(name)
            if picked in wanted and picked is not None:
                builder.values[name] = _whole(builder, name, picked)
    nodes = tuple(builder.nodes)
    return replace(graph, nodes=nodes, values=defined_values(graph.inputs, nodes, builder.values))


def _whole(builder: Builder, name: str, picked: _Picked) -> TensorType:
    return replace(builder.tensor(name), sizes=picked.sizes, strides=row_major(picked.sizes), offset=0)


def _choice(builder: Builder, node: Node, picked: _Picked, read: Callable[[str], Arg]) -> Node:
    given = {a.name: a.value for a in node.args}
    new, old, mask = given["values"], given["self"], picked.mask
    assert isinstance(new, Ref)
    assert isinstance(old, Ref)
    behind = len(picked.sizes) - picked.place - builder.tensor(mask).rank
    for _ in range(behind):
        type_ = builder.tensor(mask)
        wider = replace(type_, sizes=(*type_.sizes, 1), strides=(*type_.strides, 1))
        mask = builder.call("aten.unsqueeze.default", wider, self=Ref(mask), dim=-1)
    args = (("condition", Ref(mask)), ("self", read(new.name)), ("other", read(old.name)))
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
    "Compute with all elements where those that a mask picks are written back by it.",
    requires=(FUNCTIONAL,),
)
