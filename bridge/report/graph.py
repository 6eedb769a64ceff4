"""The graph of a program as the page takes it: nodes in execution order, each in a group, with its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bridge.report.groups import divided, joined
from lowering.ir.plan import Placement, Plan
from lowering.ir.program import STORED, InputKind, Node, Program, Ref, graphs_of, refs_of
from lowering.ir.text import print_arg, print_nodes, print_type
from lowering.ir.uses import users
from lowering.render.folding import path_of, segments_of
from lowering.render.naming import RETURNED, output_title, short

_PLACES = {Placement.STABLEHLO: "StableHLO", Placement.ATEN: "ATen"}
# A list among the arguments may have thousands of items, and a branch thousands of nodes.
_LONGEST = 2000


def graph_data(program: Program, plan: Plan) -> dict[str, Any]:
    """Groups, nodes, and the texts and stack frames that nodes name by index.

    A group is its title, the group around it (-1 for the outermost) and its placement. Groups are segments,
    where there is more than one, and modules.
    """
    return _Data(program, plan).data()


class _Data:
    def __init__(self, program: Program, plan: Plan) -> None:
        self.program, self.plan = program, plan
        self.segment_of = segments_of(plan)
        self.places = {s.index: _PLACES[s.placement] for s in plan.segments}
        self.groups: list[tuple[str, int, str]] = [("", -1, "")]
        self.group_of: dict[tuple[int | None, tuple[str, ...]], int] = {(None, ()): 0}
        self.nodes: list[dict[str, Any]] = []
        self.texts: dict[str, int] = {}
        self.frames: dict[tuple[Any, ...], int] = {}
        # By value, the node that gives it.
        self.origin: dict[str, int] = {}

    def data(self) -> dict[str, Any]:
        self._inputs()
        self._body()
        self._outputs()
        return {
            "groups": joined(divided(self.groups, self.nodes), self.nodes),
            "nodes": self.nodes,
            "texts": list(self.texts),
            "frames": list(self.frames),
        }

    def _inputs(self) -> None:
        for spec in self.program.signature.inputs:
            if spec.kind not in STORED and spec.kind is not InputKind.LITERAL:
                index = self._add("input", spec.fqn or spec.name, self._types([spec.name]))
                self.origin[spec.name] = index

    def _body(self) -> None:
        """The nodes, and each weight just before the first node that reads it."""
        weights = self.program.weights
        reading = users(self.program.nodes)
        returned = {name for spec in self.program.signature.outputs for name in refs_of(spec.value)}
        for name, spec in weights.items():
            if len(reading.get(name, ())) != 1 and (name in reading or name in returned):
                self.origin[name] = self._add("weight", spec.fqn or name, self._types([name]))
        for node in self.program.nodes:
            for name in dict.fromkeys(node.refs()):
                if name in weights and name not in self.origin:
                    fqn = weights[name].fqn or name
                    group = self._group(node)
                    self.origin[name] = self._add("weight", fqn, self._types([name]), group)
            self._node(node)

    def _node(self, node: Node) -> None:
        segment = self.segment_of.get(node.name)
        frames = [self.frames.setdefault(tuple(frame), len(self.frames)) for frame in node.location.frames]
        results = list(node.results())
        index = self._add(
            "operator",
            node.name,
            self._types(results),
            self._group(node),
            operator=node.target,
            module=node.location.module_path,
            arguments=_cut(", ".join(f"{name}={print_arg(v)}" for name, v in node.attributes.items())),
            placement=self.places.get(segment, "") if segment is not None else "",
            segment=segment,
            reason=self.plan.reasons.get(node.name, ""),
            nested=_cut("\n".join(self._nested(node))),
            frames=frames,
            reads=self._edges(node.refs()),
        )
        self.origin.update((result, index) for result in results)

    def _nested(self, node: Node) -> Iterable[str]:
        for graph in graphs_of(node):
            yield f"{graph.name}:"
            yield from (f"  {line}" for line in print_nodes(graph.nodes, graph))

    def _outputs(self) -> None:
        returned = 0
        for spec in self.program.signature.outputs:
            names = list(refs_of(spec.value))
            # An output that is always the same value has no place in the graph.
            if names:
                types = self._types(names) if isinstance(spec.value, Ref) else []
                self._add("output", output_title(spec, returned), types, reads=self._edges(names))
            returned += spec.kind in RETURNED

    def _add(
        self,
        kind: str,
        title: str,
        types: list[int],
        group: int = 0,
        reads: Sequence[tuple[int, int]] = (),
        **more: Any,
    ) -> int:
        plain = {"operator": "", "module": "", "arguments": "", "placement": "", "segment": None}
        rest = {"reason": "", "nested": "", "frames": [], "from": reads}
        node = {"kind": kind, "title": short(title), "group": group, "types": types}
        self.nodes.append({**node, **plain, **rest, **more})
        return len(self.nodes) - 1

    def _types(self, names: Iterable[str]) -> list[int]:
        types = (print_type(self.program.graph.values.get(name)) for name in names)
        return [self.texts.setdefault(text, len(self.texts)) for text in types]

    def _edges(self, names: Iterable[str]) -> list[tuple[int, int]]:
        """The nodes that give some values, each with the index of the value's type."""
        known = [name for name in dict.fromkeys(names) if name in self.origin]
        return [(self.origin[name], self._types([name])[0]) for name in known]

    def _group(self, node: Node) -> int:
        """The group of a node: of its module, in that of its segment where there are several."""
        segment = self.segment_of.get(node.name) if len(self.plan.segments) > 1 else None
        path = path_of(node)
        if (segment, ()) not in self.group_of:
            place = self.places.get(segment, "") if segment is not None else ""
            self.groups.append((f"segment {segment}: {place}", 0, place))
            self.group_of[segment, ()] = len(self.groups) - 1
        for length in range(1, len(path) + 1):
            if (segment, path[:length]) not in self.group_of:
                self.groups.append((short(path[length - 1]), self.group_of[segment, path[: length - 1]], ""))
                self.group_of[segment, path[:length]] = len(self.groups) - 1
        return self.group_of[segment, path]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
