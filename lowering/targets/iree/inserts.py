"""Slices that are inserted into the tensor that they are made of.

IREE 3.13 inserts in place and computes the slice in the same dispatch, or copies it within the buffer: where
what is read and what is written overlap, `x[1:] = x[:-1] + 1` reads what it has just written, and
`x[1:] = x[:-1]` fails. A barrier has IREE compute such a slice before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_VALUE = re.compile(r"%[\w$.-]+")
_DEFINITION = re.compile(r"^(?P<indent> *)(?P<result>%[\w$.-]+)(?::\d+)? = (?P<rest>.*)$")
_INSERT = re.compile(
    r"^(?P<indent> *)(?P<result>%[\w$.-]+) = tensor\.insert_slice (?P<slice>%[\w$.#-]+) into "
    r"(?P<place>(?P<whole>%[\w$.-]+)(?:#\d+)? ?\[.*?) : (?P<type>tensor<.*>) into (?P<rest>tensor<.*)$"
)
_KEEPS = re.compile(r"^tensor\.(?:collapse_shape|expand_shape|cast|reshape|bitcast|insert_slice|insert) ")


def protect_updates(text: str) -> str:
    """The converted module with a barrier before each insertion of what is made of the same tensor."""
    lines = text.split("\n")
    inserts = {at: found for at, line in enumerate(lines) if (found := _INSERT.match(line))}
    if not inserts:
        return text
    read, whole = _definitions(lines)
    for at, found in inserts.items():
        lineage = _reached([found["whole"]], whole)
        if lineage.isdisjoint(_reached([found["slice"].partition("#")[0]], read)):
            continue
        name = f"%bridge_slice_{at}"
        lines[at] = (
            f"{found['indent']}{name} = util.optimization_barrier {found['slice']} : {found['type']}\n"
            f"{found['indent']}{found['result']} = tensor.insert_slice {name} into {found['place']} "
            f": {found['type']} into {found['rest']}"
        )
    return "\n".join(lines)


def _definitions(lines: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """For each value, what its operation reads, regions included; and whose memory it may have."""
    read: dict[str, list[str]] = {}
    whole: dict[str, list[str]] = {}
    open_: list[tuple[str, str]] = []
    for line in lines:
        while open_ and line.startswith(open_[-1][0] + "}"):
            open_.pop()
        values = _VALUE.findall(line)
        for _, result in open_:
            read[result] += values
        found = _DEFINITION.match(line)
        if found is None:
            continue
        result = found["result"]
        read[result] = _VALUE.findall(found["rest"])
        if _KEEPS.match(found["rest"]):
            inserted = found["rest"].startswith("tensor.insert")
            whole[result] = read[result][inserted : inserted + 1]
        elif "outs(" in found["rest"]:
            whole[result] = _VALUE.findall(found["rest"].split("outs(")[1].partition(":")[0])
        if found["rest"].rstrip().endswith("{"):
            open_.append((found["indent"], result))
    return read, whole


def _reached(start: Iterable[str], edges: Mapping[str, list[str]]) -> set[str]:
    """These values and all that lead to them."""
    seen: set[str] = set()
    left = list(start)
    while left:
        value = left.pop()
        if value not in seen:
            seen.add(value)
            left += edges.get(value, ())
    return seen
