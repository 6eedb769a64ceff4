"""The producer, the users and the last user of each value of a graph.

A nested graph uses nothing but its inputs: they stand among the arguments of the node around it. Functions
that take nodes take them in execution order, of one graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from lowering.ir.program import Graph, Node, refs_of


def input_names(graph: Graph) -> list[str]:
    """Names of the values that a graph is given, in order."""
    return [name for item in graph.inputs for name in refs_of(item)]


def output_names(graph: Graph) -> list[str]:
    """Names of the values that a graph returns, in order; one that is returned twice is there twice."""
    return [name for item in graph.outputs for name in refs_of(item)]


def made_by(nodes: Iterable[Node]) -> set[str]:
    """Names of the values that nodes make."""
    return {name for node in nodes for name in node.results()}


def used_by(nodes: Iterable[Node]) -> dict[str, None]:
    """Names of the values that nodes use, in order of first use."""
    return dict.fromkeys(name for node in nodes for name in node.refs())


def used_from_outside(nodes: Sequence[Node]) -> list[str]:
    """Names of the values that nodes use and do not make, in order of first use."""
    made = made_by(nodes)
    return [name for name in used_by(nodes) if name not in made]


def producers(nodes: Iterable[Node]) -> dict[str, Node]:
    """By value, the node that makes it."""
    return {name: node for node in nodes for name in node.results()}


def users(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """By value, the nodes that use it, each once; a value that none uses is absent."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for name in dict.fromkeys(node.refs()):
            found.setdefault(name, []).append(node)
    return found


def use_counts(nodes: Iterable[Node]) -> Counter[str]:
    """By value, how often it is an argument; a node may use one twice."""
    return Counter(name for node in nodes for name in node.refs())


def last_uses(nodes: Sequence[Node], keep: Collection[str]) -> list[tuple[str, ...]]:
    """For each node, the values made by these nodes that nothing uses after it; none of `keep`."""
    seen = set(keep)
    dead: list[tuple[str, ...]] = []
    own = made_by(nodes)
    for node in reversed(nodes):
        names = dict.fromkeys(name for name in (*node.refs(), *node.results()) if name in own)
        dead.append(tuple(name for name in names if name not in seen))
        seen.update(names)
    return dead[::-1]


def computed_by(running: Sequence[Node], nodes: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    """By name of a node that runs, the nodes of the program that it computes.

    Passes put one node in the place of several, under the name of the last result. A node is computed by the
    first that needs it. Nodes that nothing needs have been computed before the call.
    """
    made = producers(nodes)
    order = {node.name: place for place, node in enumerate(nodes)}
    between = made_by(running)
    left = set(order)
    found: dict[str, tuple[str, ...]] = {}
    for node in running:
        given, wanted, names = set(node.refs()), list(node.results()), []
        while wanted:
            source = made.get(wanted.pop())
            if source is None or source.name not in left:
                continue
            left.remove(source.name)
            names.append(source.name)
            wanted += [name for name in source.refs() if name not in given and name not in between]
        found[node.name] = tuple(sorted(names, key=order.__getitem__))
    return found
