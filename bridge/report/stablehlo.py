"""The StableHLO of segments, each run of lines beside its node and the node's source line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bridge.planned import Planned
from bridge.vetting import vetted
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from lowering.ir.program import Node

#: How many characters of StableHLO a report has at most, over all segments.
MAX_CHARACTERS = 1_000_000

_LOCATED = re.compile(r"(.*) loc\((#loc\d*|unknown)\)")
_ARGUMENT = re.compile(r' loc\((?:#loc\d*|unknown|"(?:[^"\\]|\\.)*"(?:\(#loc\d*\))?)\)')
_DEFINED = re.compile(r"(#loc\d*) = loc\((.*)\)")
_NAMED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\(|$)')
_REFERENCE = re.compile(r"#loc\d*")
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)")


def stablehlo_data(lowered: Planned) -> list[dict[str, Any]]:
    """For each StableHLO segment its `index`, its `parts` and a `notice` of what is left out.

    A part is a node's name, its source line, the line's text, and the lines of StableHLO.
    """
    nodes = {node.name: node for node in lowered.functional.nodes}
    from lowering.stablehlo.hlo import text_of

    room = MAX_CHARACTERS
    found: list[dict[str, Any]] = []
    for segment in lowered.plan.segments:
        if segment.placement is not Placement.STABLEHLO:
            continue
        try:
            text = text_of(vetted(lowered.module(segment.index)).code, locations=True)
        except EngineError as error:
            found.append({"index": segment.index, "parts": [], "notice": str(error)})
            continue
        parts: list[tuple[str, str, str, str]] = []
        left_out = 0
        for name, lines in runs(text):
            if len(lines) > room:
                left_out += lines.count("\n") + 1
                room = 0
                continue
            room -= len(lines)
            parts.append((*_source(name, nodes.get(name)), lines))
        notice = f"{left_out:,} more lines are not shown: bridge info --stablehlo {segment.index} prints all."
        found.append({"index": segment.index, "parts": parts, "notice": notice if left_out else ""})
    return found


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Successive lines of a module that are from one node: its name, and the lines without locations."""
    names = _names(text)
    last, run = "", list[str]()
    for name, line in _lines(text, names):
        if name != last and run:
            yield last, "\n".join(run)
            run = []
        last = name
        run.append(line)
    if run:
        yield last, "\n".join(run)


def _lines(text: str, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each line and its node. The first line of an operation with regions has the location of its last."""
    waiting: list[str] = []
    for line in text.splitlines():
        if _DEFINED.fullmatch(line):
            continue
        located = _LOCATED.fullmatch(line)
        # Arguments have locations too.
        waiting.append(_ARGUMENT.sub("", located[1] if located else line))
        if located:
            yield from ((names.get(located[2], ""), one) for one in waiting)
            waiting = []
    yield from (("", one) for one in waiting)


def _names(text: str) -> dict[str, str]:
    """The node's name of each location that is defined in a module's text."""
    bodies = {found[1]: found[2] for line in text.splitlines() if (found := _DEFINED.fullmatch(line))}
    return {label: _name(body, bodies) for label, body in bodies.items()}


def _name(body: str, bodies: dict[str, str]) -> str:
    """The name that a location has; one that is fused of several has the name of the first."""
    seen: set[str] = set()
    while body:
        if named := _NAMED.match(body):
            return _unescaped(named[1])
        inner = next((r for r in _REFERENCE.findall(body) if r in bodies and r not in seen), "")
        seen.add(inner)
        body = bodies.get(inner, "")
    return ""


def _unescaped(text: str) -> str:
    """A string as MLIR prints it: bytes in hexadecimal behind a backslash."""

    def one(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if len(found[1]) == 2 else found[1]

    return _ESCAPED.sub(one, text.encode()).decode(errors="replace")


def _source(name: str, node: Node | None) -> tuple[str, str, str]:
    if node is None:
        return name, "", ""
    place = str(node.location)
    frames = node.location.frames
    texts = [frame.source for frame in frames if f"{frame.file}:{frame.line}" == place]
    return name, place, texts[-1] if texts else ""
