"""Nodes on ATen write their result where a buffer's old value lies, if nothing reads that any more.

A functional program gives each buffer a new value. A segment may make it, step by step, from the old one. The
steps run in place if nothing reads an old value or its view after the step that replaces it. So did the
program before functionalisation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lowering.ir import aten
from lowering.ir.facts.effects import changes_strides
from lowering.ir.facts.namespaces import is_higher_order
from lowering.ir.facts.twins import in_place_twin
from lowering.ir.facts.views import written_part
from lowering.ir.program import MUTATIONS, Arg, Graph, Node, Program, Ref, graphs_of, refs_of
from lowering.ir.types import TensorType, ValueType
from lowering.ir.uses import producers
from lowering.targets.aten import operators
from lowering.targets.aten.program import AtenPass, AtenProgram, MalformedProgram


def reinplace(program: AtenProgram) -> AtenProgram:
    """The program with `in_place`: the nodes that make a buffer's new value out of its old one."""
    makers = producers(program.nodes)
    order = {node.name: place for place, node in enumerate(program.nodes)}
    found: dict[str, set[str]] = {}
    for old, new in program.updates.items():
        chain = _chain(old, new, makers, program.graph.values)
        steps = [(node, argument, operators.given(node)[argument]) for node, argument in chain]
        if all(_is_last(program.nodes, order[node.name], ref, program.outputs) for node, _, ref in steps):
            for node, argument in chain:
                found.setdefault(node.name, set()).add(argument)
    return replace(program, in_place={name: frozenset(arguments) for name, arguments in found.items()})


REINPLACING = AtenPass(
    "reinplacing",
    reinplace,
    "Update a buffer in place where nothing reads its old value any more.",
    ensures=("reinplaced",),
)


def check_reinplaced(program: AtenProgram) -> None:
    """Raises MalformedProgram where a value is read after the node that writes over it."""
    for place, node in enumerate(program.nodes):
        for argument in program.in_place.get(node.name, ()):
            given = operators.given(node)[argument]
            if not _is_last(program.nodes, place, given, program.outputs):
                raise MalformedProgram(f"node {node.name} writes over {given}, which is still read")


def _chain(
    old: str, new: str, makers: Mapping[str, Node], values: Mapping[str, ValueType]
) -> list[tuple[Node, str]]:
    """The nodes that make the new value from the old one, last first, and the argument that each replaces."""
    chain: list[tuple[Node, str]] = []
    name = new
    while name != old:
        node = makers.get(name)
        argument = None if node is None else _replaces(node, name)
        given = None if node is None or argument is None else operators.given(node)[argument]
        if node is None or argument is None or not isinstance(given, Ref):
            return []
        if not _same_type(values.get(given.name), values.get(name)):
            return []
        chain.append((node, argument))
        name = given.name
    return chain


def _same_type(one: ValueType | None, other: ValueType | None) -> bool:
    if not isinstance(one, TensorType) or not isinstance(other, TensorType):
        return False
    return (one.dtype, one.sizes, one.layout) == (other.dtype, other.sizes, other.layout)


def _is_last(nodes: Sequence[Node], place: int, given: Arg, outputs: Collection[str]) -> bool:
    """Whether nothing reads the memory of an argument's value beside this node and after it."""
    assert isinstance(given, Ref)
    shared = aliases(nodes, [given.name])
    if not shared.isdisjoint(outputs):
        return False
    if sum(name in shared for name in nodes[place].refs()) > 1:
        return False
    return not any(name in shared for node in nodes[place + 1 :] for name in node.refs())


def _replaces(node: Node, result: str) -> str | None:
    """The argument of a node whose written copy is this result."""
    if not node.functional:
        schema = aten.schema(node.target)
        in_place = in_place_twin(node.target) or written_part(node.target)
        return schema.parameters[0].name if schema is not None and in_place else None
    names, unreturned = operators.written(node, operators.resolve(node.target))
    own = len(node.outputs) - len(unreturned)
    for output, name in zip(node.outputs[own:], unreturned, strict=True):
        if output == result:
            return name
    schema = aten.schema(node.target)
    if schema is None or changes_strides(schema.tags):
        return None
    replaced = {output: schema.written_return(i) for i, output in enumerate(node.outputs[:own])}
    return replaced.get(result) if replaced.get(result) in names else None


def aliases(nodes: Iterable[Node], names: Iterable[str]) -> set[str]:
    """These values, and their possible views."""
    shared = set(names)
    for node in nodes:
        for place, output in enumerate(node.outputs):
            if not shared.isdisjoint(_viewed(node, place)):
                shared.update((output,) if isinstance(output, str) else (n for n in output or () if n))
    return shared


def _viewed(node: Node, place: int) -> Iterator[str]:
    """Values that a result of a node may be a view of; all operands of an unknown operator."""
    schema = aten.schema(node.target)
    if schema is None:
        yield from node.refs()
        return
    if place >= len(schema.returns):
        return
    given = schema.bind(node.args)
    copied = schema.written(given) if node.functional else ()
    for name in schema.aliased(place):
        if name not in copied:
            yield from refs_of(given[name])


def written_inputs(program: Program) -> set[str]:
    """Names of the graph inputs that running a program as it was read may write to."""
    nodes = program.graph.nodes
    written = {name for node in nodes for name in _written(node)}
    destinations = {spec.destination for spec in program.signature.outputs if spec.kind in MUTATIONS}
    found: set[str] = set()
    for spec in program.signature.inputs:
        stated = spec.fqn in destinations or spec.name in destinations
        if stated or not written.isdisjoint(aliases(nodes, [spec.name])):
            found.add(spec.name)
    return found


def _written(node: Node) -> Iterator[str]:
    """Values that a node may write to."""
    if node.target in operators.SCALAR:
        return
    if is_higher_order(node.target):
        if any(_writes(graph) for graph in graphs_of(node)):
            yield from node.refs()
        return
    given = operators.given(node)
    for name in operators.written(node, operators.resolve(node.target))[0]:
        yield from refs_of(given[name])


def _writes(graph: Graph) -> bool:
    return any(any(True for _ in _written(node)) for node in graph.nodes)
