"""A picture in DOT, Graphviz's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lowering.ir.plan import Plan
from lowering.ir.program import Program
from lowering.render.drawing import MAX_NODES, draw
from lowering.render.picture import BOX_COLOURS, MODULE_COLOUR, SEGMENT_COLOURS, BoxKind, Group, Item, Picture

_SHAPES = {
    BoxKind.INPUT: "oval",
    BoxKind.WEIGHT: "cylinder",
    BoxKind.OPERATOR: "box",
    BoxKind.FOLDED: "box3d",
    BoxKind.OUTPUT: "oval",
}
_HEAD = """\
  graph [fontname="Helvetica", fontsize=12, rankdir=TB, nodesep=0.25, ranksep=0.4]
  node [fontname="Helvetica", fontsize=11, style=filled, margin="0.12,0.06"]
  edge [fontname="Helvetica", fontsize=9, color="#6b7280", fontcolor="#374151", arrowsize=0.6]"""


def to_dot(
    program: Program, plan: Plan | None = None, depth: int | None = None, max_nodes: int = MAX_NODES
) -> str:
    """A program as a directed graph, ending in a newline. Raises BridgeError as `draw` does."""
    return print_dot(draw(program, plan, depth, max_nodes))


def print_dot(picture: Picture) -> str:
    """The text of a directed graph, ending in a newline."""
    lines = [f"digraph {_quoted(picture.title or 'program')} {{", _HEAD]
    groups: list[Group] = []
    for item in picture.items:
        lines += _item(item, picture, "  ", groups)
    for edge in picture.edges:
        attributes = {"label": edge.label} if edge.label else {}
        attributes |= {"style": "dashed"} if edge.weight else {}
        lines.append(f"  n{edge.source} -> n{edge.target}{_attributes(attributes)}")
    return "\n".join([*lines, "}"]) + "\n"


def _item(item: Item, picture: Picture, indent: str, groups: list[Group]) -> Iterator[str]:
    """The lines of a box, or of a group, which is added to `groups`."""
    if isinstance(item, Group):
        placed = SEGMENT_COLOURS.get(item.placement) if item.placement is not None else None
        fill, border = placed or ("transparent", MODULE_COLOUR)
        yield f"{indent}subgraph cluster_{len(groups)} {{"
        groups.append(item)
        look = f'style="rounded,filled" fillcolor="{fill}" color="{border}"'
        yield f"{indent}  label={_quoted(item.title)} {look}"
        for inner in item.items:
            yield from _item(inner, picture, indent + "  ", groups)
        yield f"{indent}}}"
        return
    box = picture.boxes[item]
    fill, border = BOX_COLOURS[box.kind]
    look = {"label": _label(box.title, *box.lines), "shape": _SHAPES[box.kind]}
    yield f"{indent}n{item}{_attributes({**look, 'fillcolor': fill, 'color': border})}"


def _attributes(attributes: Mapping[str, str]) -> str:
    listed = ", ".join(f"{name}={_quoted(text)}" for name, text in attributes.items())
    return f" [{listed}]" if listed else ""


def _label(*lines: str) -> str:
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A text as a string: no backslash in it escapes, and no entity or markup in it counts."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return f'"{escaped}"'
