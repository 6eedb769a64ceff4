"""The costs of nodes: floating-point operations, and bytes that they read and write."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.compiled.profile import Profile
from lowering.ir.facts.flops import flops
from lowering.ir.facts.views import only_views
from lowering.ir.liveness import bytes_of
from lowering.ir.program import Node
from lowering.ir.uses import made_by, output_names, used_from_outside, users


class Costs:
    """Of the nodes of one program, at the sizes of one call."""

    def __init__(self, profile: Profile) -> None:
        graph = profile.program.graph
        self._symbols = profile.symbols
        self._values = graph.values
        self._users = users(graph.nodes)
        self._returned = set(output_names(graph))
        self.nodes = {node.name: node for node in graph.nodes}

    def flops(self, names: Iterable[str]) -> int:
        """Of products of matrices, convolutions and attention."""
        return sum(flops(self.nodes[name], self._values, self._symbols) for name in names)

    def nbytes(self, names: Iterable[str]) -> int:
        """Of the tensors that these nodes read from elsewhere, and of those that are read elsewhere.

        Nodes that only view memory move nothing.
        """
        nodes = [self.nodes[name] for name in names]
        if all(only_views(node.target) and not node.functional for node in nodes):
            return 0
        own = {node.name for node in nodes}
        read = used_from_outside(nodes)
        made = [name for name in made_by(nodes) if self._is_read_elsewhere(name, own)]
        return sum(self.size_of(name) for name in (*read, *made))

    def size_of(self, name: str) -> int:
        """Bytes of a value; 0 for what is not a tensor."""
        return bytes_of(self._values.get(name), self._symbols)

    def _is_read_elsewhere(self, name: str, own: set[str]) -> bool:
        return name in self._returned or any(user.name not in own for user in self._users.get(name, ()))

    def where(self, names: Iterable[str]) -> list[tuple[str, str, str]]:
        """Of each node its name, its source line, and the path of its module."""
        return [_where(self.nodes[name]) for name in names]


def _where(node: Node) -> tuple[str, str, str]:
    return node.name, str(node.location), node.location.module_path
