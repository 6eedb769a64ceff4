"""From a program to its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from lowering.ir.errors import BridgeError
from lowering.ir.plan import Placement, Plan
from lowering.ir.program import InputKind, Node, Program, Ref, WeightSpec, refs_of
from lowering.ir.text import print_type
from lowering.ir.uses import producers, users
from lowering.render.folding import Key, Way, path_of, ways
from lowering.render.naming import (
    RETURNED,
    operators_line,
    output_title,
    plural,
    short,
    types_label,
    weight_line,
    weights_line,
)
from lowering.render.picture import Box, BoxKind, Edge, Group, Item, Picture

#: The number of boxes that a picture has at most, unless the caller wants more.
MAX_NODES = 100
_LEAST = 3


def draw(
    program: Program, plan: Plan | None = None, depth: int | None = None, max_nodes: int = MAX_NODES
) -> Picture:
    """The picture of a program, with the segments of a plan as groups.

    Modules are folded, the deepest first, until the picture has `max_nodes` boxes or fewer. `depth`: modules
    are open to this depth at most; 0 gives one box per segment. Raises BridgeError for numbers that are too
    small.
    """
    if max_nodes < _LEAST:
        raise BridgeError(f"a picture has {_LEAST} boxes at least, not {max_nodes}")
    if depth is not None and depth < 0:
        raise BridgeError(f"the depth of a picture is 0 or more, not {depth}")
    pictures = (_Drawing(program, plan, way).picture() for way in ways(program, plan, depth, max_nodes))
    return next(picture for picture in pictures if len(picture.boxes) <= max_nodes)


@dataclass
class _Tree:
    """The boxes of a module, and its modules by the next part of their path."""

    boxes: list[int] = field(default_factory=list)
    children: dict[str, _Tree] = field(default_factory=dict)


class _Drawing:
    """A picture that is being made, folded in one way."""

    def __init__(self, program: Program, plan: Plan | None, way: Way) -> None:
        self.program, self.plan, self.way = program, plan, way
        self.boxes: list[Box] = []
        self.trees: dict[int | None, _Tree] = {}
        self.of_node: dict[str, int] = {}
        # By value, the box that it comes from; a weight without a box is absent.
        self.of_value: dict[str, int] = {}
        self.edges: dict[tuple[int, int], list[str]] = {}
        self.members: dict[Key, list[Node]] = {}
        for node in program.nodes:
            self.members.setdefault(way.keys[node.name], []).append(node)
        self.users = users(program.nodes)
        self.returned = {name for spec in program.signature.outputs for name in refs_of(spec.value)}

    def picture(self) -> Picture:
        self._inputs()
        read = self._weights_read()
        for key, nodes in self.members.items():
            self._nodes(key, nodes, read.get(key, []))
        if self.way.weights:
            self._weights()
        self._connect()
        self._outputs()
        weights = self.program.weights
        values = self.program.graph.values
        edges = tuple(
            Edge(source, target, "", weight=True)
            if all(name in weights for name in names)
            else Edge(source, target, types_label([values.get(name) for name in names]))
            for (source, target), names in self.edges.items()
        )
        return Picture(short(self.program.name), tuple(self.boxes), self._items(), edges)

    def _add(self, box: Box, segment: int | None = None, path: Sequence[str] = ()) -> int:
        """The index of a new box in the group of a module."""
        tree = self.trees.setdefault(segment, _Tree())
        for part in path:
            tree = tree.children.setdefault(part, _Tree())
        self.boxes.append(box)
        tree.boxes.append(len(self.boxes) - 1)
        return len(self.boxes) - 1

    def _inputs(self) -> None:
        kinds = (InputKind.USER, InputKind.OBJECT, InputKind.TOKEN)
        types = self.program.graph.values
        specs = [spec for spec in self.program.signature.inputs if spec.kind in kinds]
        if not self.way.ends and specs:
            box = self._add(Box(BoxKind.INPUT, plural(len(specs), "input")))
            self.of_value.update((spec.name, box) for spec in specs)
            return
        for spec in specs:
            lines = (short(print_type(types.get(spec.name))),)
            self.of_value[spec.name] = self._add(Box(BoxKind.INPUT, short(spec.fqn or spec.name), lines))

    def _weights_read(self) -> dict[Key, list[WeightSpec]]:
        """By box of nodes, the weights that are lines of it."""
        found: dict[Key, list[WeightSpec]] = {}
        for spec in self.program.weights.values():
            keys = dict.fromkeys(self.way.keys[node.name] for node in self.users.get(spec.name, ()))
            if self.way.weights and not self._inside(spec.name):
                continue
            for key in keys:
                found.setdefault(key, []).append(spec)
        return found

    def _inside(self, weight: str) -> bool:
        """Whether nothing but the nodes of one folded box reads a weight."""
        keys = {self.way.keys[node.name] for node in self.users.get(weight, ())}
        one = len(keys) == 1 and len(self.members[next(iter(keys))]) > 1
        return one and weight not in self.returned

    def _weights(self) -> None:
        for spec in self.program.weights.values():
            reading = self.users.get(spec.name, [])
            if self._inside(spec.name) or not (reading or spec.name in self.returned):
                continue
            box = Box(BoxKind.WEIGHT, short(spec.fqn or spec.name), (short(print_type(spec.type)),))
            key = self.way.keys[reading[0].name] if len(reading) == 1 else Key(None, ())
            self.of_value[spec.name] = self._add(box, key.segment, self._group_of(key))

    def _nodes(self, key: Key, nodes: list[Node], weights: list[WeightSpec]) -> None:
        if len(nodes) == 1:
            node = nodes[0]
            lines = [short(node.target), *map(weight_line, weights)]
            box = Box(BoxKind.OPERATOR, short(node.name), tuple(lines), (node.name,))
        else:
            lines = [f"{len(nodes):,} operators: {operators_line(nodes)}"]
            lines += [weights_line(weights)] if weights else []
            title = _folded_title(key, nodes)
            box = Box(BoxKind.FOLDED, short(title), tuple(lines), tuple(node.name for node in nodes))
        index = self._add(box, key.segment, self._group_of(key))
        for node in nodes:
            self.of_node[node.name] = index

    def _group_of(self, key: Key) -> tuple[str, ...]:
        """The path of the group that a box is in: a folded module is a box of the module around it."""
        folded = key.own is None and len(self.members.get(key, ())) > 1
        return key.path[:-1] if folded else key.path

    def _connect(self) -> None:
        made = producers(self.program.nodes)
        self.of_value.update((value, self.of_node[node.name]) for value, node in made.items())
        for node in self.program.nodes:
            self._edges(self.of_node[node.name], node.refs())

    def _edges(self, target: int, names: Iterable[str]) -> None:
        for name in names:
            source = self.of_value.get(name)
            if source is not None and source != target:
                found = self.edges.setdefault((source, target), [])
                if name not in found:
                    found.append(name)

    def _outputs(self) -> None:
        specs = [s for s in self.program.signature.outputs if any(refs_of(s.value))]
        if not self.way.ends and specs:
            box = self._add(Box(BoxKind.OUTPUT, plural(len(specs), "output")))
            for spec in specs:
                self._edges(box, tuple(refs_of(spec.value)))
            return
        returned = 0
        for spec in self.program.signature.outputs:
            if isinstance(spec.value, Ref):
                box = self._add(Box(BoxKind.OUTPUT, output_title(spec, returned)))
                self._edges(box, [spec.value.name])
            returned += spec.kind in RETURNED

    def _items(self) -> tuple[Item, ...]:
        """The groups: of segments, and in these of modules."""
        placements = {s.index: s.placement for s in self.plan.segments} if self.plan is not None else {}
        items: list[Item] = []
        for segment, tree in self.trees.items():
            found = self._grouped(tree)
            if segment is None:
                items += found
            else:
                placement = placements[segment]
                items.append(Group(f"segment {segment}: {_WHERE[placement]}", found, placement))
        return tuple(sorted(items, key=_first))

    def _grouped(self, tree: _Tree) -> tuple[Item, ...]:
        """The boxes and groups of a module, in order; a group of one item is one with it."""
        items: list[Item] = list(tree.boxes)
        for part, child in tree.children.items():
            found = self._grouped(child)
            only = found[0] if len(found) == 1 else None
            if isinstance(only, Group):
                items.append(Group(short(f"{part}.{only.title}"), only.items))
            elif only is not None:
                box = self.boxes[only]
                mark = "." if box.kind is BoxKind.FOLDED else ": "
                self.boxes[only] = replace(box, title=short(f"{part}{mark}{box.title}"))
                items.append(only)
            else:
                items.append(Group(short(part), found))
        return tuple(sorted(items, key=_first))


def _folded_title(key: Key, nodes: Sequence[Node]) -> str:
    """The module's own name, or the first and the last module of a run."""
    if key.own is None:
        return key.path[-1] if key.path else "all of it"
    parts = [path_of(node)[len(key.path) : len(key.path) + 1] for node in (nodes[0], nodes[-1])]
    first, last = ("".join(part) for part in parts)
    return f"{first} to {last}" if first and last and first != last else "operators"


_WHERE = {Placement.STABLEHLO: "StableHLO", Placement.ATEN: "ATen"}


def _first(item: Item) -> int:
    """The lowest index of a box in it."""
    return min(map(_first, item.items)) if isinstance(item, Group) else item
