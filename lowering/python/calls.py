"""Which modules there are, and how their calls nest: from the paths of weights and of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lowering.ir.program import InputKind, Node, Output, Program, refs_of
from lowering.ir.types import TensorType

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter, buffer or constant of a module. `name`: below its module; `value`: in the graph."""

    name: str
    value: str
    kind: InputKind
    type: TensorType
    persistent: bool


@dataclass(slots=True)
class Module:
    """A module: its own weights, its children in the order of registration, its calls in order."""

    path: Path
    weights: list[Weight] = field(default_factory=list)
    children: dict[str, Module] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def below(self) -> Iterator[Module]:
        """The modules below, each after those below it; then this one."""
        for child in self.children.values():
            yield from child.below()
        yield self


@dataclass(slots=True, eq=False)
class Call:
    """A call of a module: the nodes from `first` to `last`, those of other modules as calls.

    `arguments`: values from outside, in order of use; `results`: values that are used outside, in order.
    """

    module: Module
    first: int
    last: int
    items: list[Node | Call] = field(default_factory=list)
    parent: Call | None = None
    arguments: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    # How the module gives its results, where it does not give them one by one.
    outputs: tuple[Output, ...] | None = None

    def dissolve(self) -> None:
        """Put the items in the place of the call, into the call around it."""
        if self.parent is None:
            return
        place = next(i for i, item in enumerate(self.parent.items) if item is self)
        self.parent.items[place : place + 1] = self.items
        for item in self.items:
            if isinstance(item, Call):
                item.parent = self.parent


def module_tree(program: Program) -> Module:
    """The root of the program's modules, with every call."""
    root = Module(())
    for spec in program.weights.values():
        *path, name = spec.fqn.split(".")
        _at(root, tuple(path)).weights.append(Weight(name, spec.name, spec.kind, spec.type, spec.persistent))
    call = Call(root, 0, len(program.nodes))
    root.calls.append(call)
    _fill(call, program.nodes, [raw_path(node) for node in program.nodes], 0, root)
    _order(root, program)
    _connect(root, program)
    return root


_COUNTER = re.compile(r"@\d+$")


def raw_path(node: Node) -> Path:
    """The path of the module that called the operator; a second call of one module is `name@1`."""
    path = node.location.module_path
    # torch's name for a node that it made itself.
    if path.startswith("_empty_nn_module_stack"):
        return ()
    return tuple(path.split(".")) if re.fullmatch(r"[^.]+(\.[^.]+)*", path) else ()


def _at(root: Module, path: Path) -> Module:
    module = root
    for depth, name in enumerate(path):
        module = module.children.setdefault(name, Module(path[: depth + 1]))
    return module


def _fill(call: Call, nodes: Sequence[Node], paths: Sequence[Path], depth: int, root: Module) -> None:
    place = call.first
    while place < call.last:
        path = paths[place]
        if len(path) <= depth:
            call.items.append(nodes[place])
            place += 1
            continue
        end = place
        while end < call.last and paths[end][: depth + 1] == path[: depth + 1]:
            end += 1
        module = _at(root, (*call.module.path, _COUNTER.sub("", path[depth])))
        nested = Call(module, place, end, parent=call)
        module.calls.append(nested)
        call.items.append(nested)
        _fill(nested, nodes, paths, depth + 1, root)
        place = end


def _order(root: Module, program: Program) -> None:
    """Put children into an order of registration that gives the program's order of weights."""
    sequences: list[list[Path]] = [
        [tuple(spec.fqn.split(".")[:-1]) for spec in program.weights.values() if spec.kind is kind]
        for kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT)
    ]
    sequences.append([call.module.path for call in _calls(root.calls[0])])
    for module in root.below():
        depth = len(module.path)
        order: list[str] = []
        for sequence in sequences:
            names = [p[depth] for p in sequence if len(p) > depth and p[:depth] == module.path]
            place = 0
            for name in dict.fromkeys(names):
                if name in order:
                    place = order.index(name) + 1
                else:
                    order.insert(place, name)
                    place += 1
        if all(is_index(name) for name in order):
            order.sort(key=int)
        module.children = {name: module.children[name] for name in order}


def is_index(name: str) -> bool:
    """Whether a module's name is a place in a list."""
    return re.fullmatch(r"0|[1-9]\d{0,5}", name) is not None


def _calls(call: Call) -> Iterator[Call]:
    for item in call.items:
        if isinstance(item, Call):
            yield item
            yield from _calls(item)


def _connect(root: Module, program: Program) -> None:
    """Say for each call which values go in and which come out."""
    end = len(program.nodes)
    made: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, node in enumerate(program.nodes):
        made.update(dict.fromkeys(node.results(), place))
        last.update(dict.fromkeys(node.refs(), place))
    for spec in program.signature.outputs:
        last.update(dict.fromkeys(refs_of(spec.value), end))
    weights = {weight.value: module.path for module in root.below() for weight in module.weights}
    for call in _calls(root.calls[0]):
        nodes = program.nodes[call.first : call.last]
        path = call.module.path
        call.arguments = [
            name
            for name in dict.fromkeys(name for node in nodes for name in node.refs())
            if made.get(name, -1) < call.first and weights.get(name, ())[: len(path)] != path
        ]
        call.results = [name for node in nodes for name in node.results() if last.get(name, -1) >= call.last]
