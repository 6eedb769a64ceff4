"""A picture as a Mermaid flowchart, which many viewers of Markdown draw."""

from __future__ import annotations

from collections.abc import Iterator

from lowering.ir.plan import Plan
from lowering.ir.program import Program
from lowering.render.drawing import MAX_NODES, draw
from lowering.render.picture import BOX_COLOURS, MODULE_COLOUR, SEGMENT_COLOURS, BoxKind, Group, Item, Picture

# Brackets that give a box its shape.
_SHAPES = {
    BoxKind.INPUT: ("([", "])"),
    BoxKind.WEIGHT: ("[(", ")]"),
    BoxKind.OPERATOR: ("[", "]"),
    BoxKind.FOLDED: ("[[", "]]"),
    BoxKind.OUTPUT: ("([", "])"),
}
_PLAIN = frozenset(" _-.,:/()[]")


def to_mermaid(
    program: Program, plan: Plan | None = None, depth: int | None = None, max_nodes: int = MAX_NODES
) -> str:
    """A program as a flowchart, ending in a newline. Raises BridgeError as `draw` does."""
    return print_mermaid(draw(program, plan, depth, max_nodes))


def print_mermaid(picture: Picture) -> str:
    """The text of a flowchart, ending in a newline."""
    lines = ["flowchart TD"]
    groups: list[Group] = []
    for item in picture.items:
        lines += _item(item, picture, "  ", groups)
    for edge in picture.edges:
        arrow = "-.->" if edge.weight else "-->"
        label = f"|{_quoted(edge.label)}|" if edge.label else ""
        lines.append(f"  n{edge.source} {arrow}{label} n{edge.target}")
    for kind, (fill, border) in BOX_COLOURS.items():
        members = [f"n{index}" for index, box in enumerate(picture.boxes) if box.kind is kind]
        if members:
            lines.append(f"  classDef {kind.value} fill:{fill},stroke:{border},color:#111827")
            lines.append(f"  class {','.join(members)} {kind.value}")
    for index, group in enumerate(groups):
        placed = SEGMENT_COLOURS.get(group.placement) if group.placement is not None else None
        fill, border = placed or ("none", MODULE_COLOUR)
        lines.append(f"  style g{index} fill:{fill},stroke:{border},color:#111827")
    return "\n".join(lines) + "\n"


def _item(item: Item, picture: Picture, indent: str, groups: list[Group]) -> Iterator[str]:
    """The lines of a box, or of a group, which is added to `groups`."""
    if isinstance(item, Group):
        yield f"{indent}subgraph g{len(groups)}[{_quoted(item.title)}]"
        groups.append(item)
        for inner in item.items:
            yield from _item(inner, picture, indent + "  ", groups)
        yield f"{indent}end"
        return
    box = picture.boxes[item]
    left, right = _SHAPES[box.kind]
    yield f"{indent}n{item}{left}{_quoted(box.title, *box.lines)}{right}"


def _quoted(*lines: str) -> str:
    """Lines as a label. Characters with a meaning are codes: names come from a file."""
    return '"' + "<br/>".join("".join(map(_character, line)) for line in lines) + '"'


def _character(char: str) -> str:
    # Mermaid takes only decimal codes, and a bare word as Markdown.
    return char if (char.isascii() and char.isalnum()) or char in _PLAIN else f"#{ord(char)};"
