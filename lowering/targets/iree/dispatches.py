"""The nodes that each dispatch of a compiled module computes.

A dispatch is made of operations whose locations name nodes. The compiler then keeps one of several equal
dispatches. So the module is read before that, after that, and once its commands are in order. The place where
a dispatch is called keeps its location throughout.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from iree.compiler import ir

from lowering.targets.iree.converted import operations

# Operations that several nodes share: the compiler keeps one of equal ones, with the first one's location.
_SHARED = (
    "arith.constant", "builtin.", "flow.", "func.", "iree_", "linalg.fill", "linalg.yield", "tensor.empty",
)  # fmt: skip

# The name in a location: any text but a file's, which a line follows.
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"(?!:\d)')


class _Site(NamedTuple):
    """A place where a dispatch is called: in which function, which dispatch, and the location."""

    function: str
    entry: str
    place: str


def nodes_of_dispatches(
    before: str, after: str, ordered: str, function: str
) -> dict[str, list[tuple[str, ...]]]:
    """By name of a dispatch, the nodes of each of its calls in a function, in order.

    `before`, `after`: the module around the pass that keeps one of several equal dispatches; `ordered`: with
    its commands in order. Raises MLIRError or ValueError.
    """
    with ir.Context(), ir.Location.unknown():
        whole, kept, commands = (ir.Module.parse(text) for text in (before, after, ordered))
        bodies = _bodies(whole)
        waiting: dict[_Site, list[tuple[str, ...]]] = defaultdict(list)
        for old, new in zip(_sites(whole), _sites(kept), strict=True):
            waiting[new].append(tuple(bodies[old.entry] | dict.fromkeys(_names(old.place))))
        found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for site in _sites(commands):
            queue = waiting[site]
            nodes = queue.pop(0) if queue else tuple(dict.fromkeys(_names(site.place)))
            if site.function == function:
                found[site.entry].append(nodes)
    return dict(found)


def _sites(module: ir.Module) -> Iterator[_Site]:
    for function in module.body.operations:
        if function.operation.name != "util.func":
            continue
        name = ir.StringAttr(function.operation.attributes["sym_name"]).value
        for op in operations(function.operation):
            if op.name in ("flow.dispatch", "stream.cmd.dispatch"):
                entry = str(op.attributes["entry_points"]).rpartition("@")[2].rstrip("]")
                yield _Site(name, entry, str(op.location))


def _bodies(module: ir.Module) -> dict[str, dict[str, None]]:
    """By dispatch the names in the locations of what it runs."""
    found: dict[str, dict[str, None]] = {}
    for executable in module.body.operations:
        if executable.operation.name != "flow.executable":
            continue
        inside = operations(executable.operation)
        working = [op for op in inside if not op.name.startswith(_SHARED)]
        names = dict.fromkeys(name for op in working for name in _names(str(op.location)))
        for op in inside:
            if op.name == "flow.executable.export":
                found[ir.StringAttr(op.attributes["sym_name"]).value] = names
    return found


def _names(place: str) -> list[str]:
    return _NAME.findall(place)
