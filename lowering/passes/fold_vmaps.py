"""`torch.vmap` as the exporter writes it, nodes between calls that open and close a level, as `map_impl`.

Between the two calls values have the types of one row. The nodes that depend on rows become a graph, which
the higher-order operator `map_impl` runs on each row. The others are moved before it. `associative_scan` is
exported in this way, too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace

from lowering.ir.aten import schema
from lowering.ir.dims import row_major
from lowering.ir.facts.effects import draws
from lowering.ir.program import Arg, Argument, Graph, Node, Ref, all_nodes
from lowering.ir.types import TensorType, ValueType
from lowering.ir.uses import producers
from lowering.passes.errors import PassError
from lowering.passes.program import graph_pass
from lowering.passes.rewriting import defined_values, with_graphs

_PREFIX = "torch._functorch.predispatch."
_LOAD = f"{_PREFIX}lazy_load_decompositions"
_OPEN = f"{_PREFIX}_vmap_increment_nesting"
_CLOSE = f"{_PREFIX}_vmap_decrement_nesting"
_ADD = f"{_PREFIX}_add_batch_dim"
_REMOVE = f"{_PREFIX}_remove_batch_dim"


def fold_vmaps(graph: Graph) -> Graph:
    """The graph with every vmap a node. Raises PassError for levels that do not close. Raises it for vmaps
    that draw random numbers, or write to tensors from outside that have no rows."""
    if not any(node.target.startswith(_PREFIX) for node in all_nodes(graph.nodes)):
        return graph
    folder = _Folder(dict(graph.values), {*graph.values, *(node.name for node in graph.nodes)})
    nodes = tuple(folder.fold(iter(graph.nodes), inside=False))
    return replace(graph, nodes=nodes, values=defined_values(graph.inputs, nodes, folder.values))


FOLD_VMAPS = graph_pass(
    "fold-vmaps",
    fold_vmaps,
    "Turn the nodes between the calls that open and close a vmap into one map over a graph.",
    required=True,
)


@dataclass
class _Level:
    """The nodes between two calls, sorted. `rows`: names of rows, with the tensor and the axis that they are
    rows of."""

    rows: dict[str, tuple[Ref, int]] = field(default_factory=dict)
    before: list[Node] = field(default_factory=list)
    body: list[Node] = field(default_factory=list)
    results: list[tuple[str, Ref, int]] = field(default_factory=list)

    def sort(self, nodes: Iterable[Node]) -> None:
        depending: set[str] = set()
        for node in nodes:
            if node.target == _ADD:
                source, axis = _tensor(node, 0), _integer(node, 1)
                self.rows.update(dict.fromkeys(node.results(), (source, axis)))
                depending.update(node.results())
            elif node.target == _REMOVE:
                self.results += [(name, _tensor(node, 0), _integer(node, 3)) for name in node.results()]
            elif depending.isdisjoint(node.refs()):
                _check_outside(node)
                self.before.append(node)
            else:
                _check_random(node)
                depending.update(node.results())
                self.body.append(node)


@dataclass
class _Folder:
    values: dict[str, ValueType]
    taken: set[str]

    def fold(self, nodes: Iterator[Node], inside: bool) -> Iterator[Node]:
        """The nodes up to the end of this level."""
        for node in nodes:
            if node.target == _OPEN:
                yield from self.level(node, tuple(self.fold(nodes, inside=True)))
            elif node.target == _CLOSE:
                if not inside:
                    raise _problem(node, "it closes a level that is not open")
                return
            elif node.target in (_ADD, _REMOVE) and not inside:
                raise _problem(node, "no level is open")
            elif node.target != _LOAD:
                yield with_graphs(node, fold_vmaps)
        if inside:
            raise PassError("a level of vmap does not close")

    def level(self, opening: Node, nodes: tuple[Node, ...]) -> Iterator[Node]:
        level = _Level()
        level.sort(nodes)
        yield from level.before
        if not level.results:
            return
        if not level.rows:
            raise _problem(opening, "it maps over nothing")
        mapped: list[Arg] = []
        for source, axis in level.rows.values():
            mapped.append((yield from self.moved(opening, source.name, axis, 0)))
        # In order, as the graph lists its values.
        own = [*level.rows, *producers(level.body)]
        read = [name for node in level.body for name in node.refs()] + [r.name for _, r, _ in level.results]
        outside = [name for name in dict.fromkeys(read) if name not in own]
        inputs = tuple(Ref(name) for name in (*level.rows, *outside))
        graph = Graph(
            inputs,
            tuple(result for _, result, _ in level.results),
            tuple(level.body),
            {name: self.values[name] for name in (*own, *outside)},
            self.new_name("rows"),
        )
        args = (graph, tuple(mapped), tuple(Ref(name) for name in outside))
        outputs = tuple(name if axis == 0 else self.new_name(name) for name, _, axis in level.results)
        yield Node(
            self.new_name("map_impl"),
            "higher_order.map_impl",
            tuple(Argument("", arg) for arg in args),
            outputs,
            opening.location,
        )
        for output, (name, _, axis) in zip(outputs, level.results, strict=True):
            yield from self.returned(opening, output, name, axis)

    def moved(self, at: Node, name: str, axis: int, to: int) -> Generator[Node, None, Ref]:
        """The value with an axis moved; a generator whose value is the reference to it."""
        type_ = self.tensor(at, name)
        axis %= max(len(type_.sizes), 1)
        if axis == to:
            return Ref(name)
        order = [other for other in range(len(type_.sizes)) if other != axis]
        order.insert(to, axis)
        result = self.new_name("movedim")
        self.values[result] = replace(
            type_,
            sizes=tuple(type_.sizes[a] for a in order),
            strides=tuple(type_.strides[a] for a in order),
        )
        yield self.movedim(at, name, result, axis, to)
        return Ref(result)

    def returned(self, at: Node, output: str, name: str, axis: int) -> Iterator[Node]:
        """`name`: the rows' results, stacked on an axis; stacked on the first it is the output itself."""
        type_ = self.tensor(at, name)
        axis %= max(len(type_.sizes), 1)
        sizes = (type_.sizes[axis], *type_.sizes[:axis], *type_.sizes[axis + 1 :])
        stacked = replace(type_, sizes=sizes, strides=row_major(sizes), offset=0)
        self.values[output] = stacked
        if output != name:
            strides = (*stacked.strides[1 : axis + 1], stacked.strides[0], *stacked.strides[axis + 1 :])
            self.values[name] = replace(type_, strides=strides, offset=0)
            yield self.movedim(at, output, name, 0, axis)

    def movedim(self, at: Node, source: str, result: str, axis: int, to: int) -> Node:
        args = (Argument("self", Ref(source)), Argument("source", axis), Argument("destination", to))
        return Node(self.new_name("movedim"), "aten.movedim.int", args, (result,), at.location)

    def tensor(self, at: Node, name: str) -> TensorType:
        type_ = self.values.get(name)
        if not isinstance(type_, TensorType) or not type_.sizes:
            raise _problem(at, f"{name} is not a tensor with rows")
        return type_

    def new_name(self, stem: str) -> str:
        count = 0
        while (name := f"{stem}_vmap_{count}") in self.taken:
            count += 1
        self.taken.add(name)
        return name


def _tensor(node: Node, index: int) -> Ref:
    value = node.args[index].value if index < len(node.args) else None
    if not isinstance(value, Ref):
        raise _problem(node, f"its argument {index} is not a value")
    return value


def _integer(node: Node, index: int) -> int:
    value = node.args[index].value if index < len(node.args) else None
    if not isinstance(value, int):
        raise _problem(node, f"its argument {index} is not an integer")
    return value


def _check_random(node: Node) -> None:
    known = schema(node.target)
    if known is not None and draws(node, known):
        raise _problem(node, "it draws random numbers inside a vmap, which is not supported")


def _check_outside(node: Node) -> None:
    """A node that reads no row runs once, before all rows; so it must not matter when it runs."""
    _check_random(node)
    known = schema(node.target)
    if known is not None and any(parameter.writes for parameter in known.parameters):
        raise _problem(node, "it writes, inside a vmap, to a tensor that has no rows")


def _problem(node: Node, what: str) -> PassError:
    return PassError(f"node {node.name}, {node.target}: {what}")
