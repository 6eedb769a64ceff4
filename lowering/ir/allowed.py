"""Which of torch's operators a file may have ATen run, and why not the others.

A file names its operators, and a file is untrusted. `allowed.json` names operators that keep to the memory of
their tensors and terminate, for any arguments. Some need a check before the call
(`lowering/targets/aten/arguments.py`). `third_party/generate_allowed.py` writes it; docs/security.md says
what admits one.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from lowering.ir.facts.namespaces import is_python, namespace_of
from lowering.ir.facts.numbers import OF_NUMBERS
from lowering.ir.homes import HOMES, brought
from lowering.ir.program import Node, Operator, leaves_of
from lowering.ir.types import Layout

# Why an operator of the table is refused, by the word that the table has for it.
REASONS = {
    "device": "it has no kernel for the CPU, where ATen runs here",
    "storage": "it gives a tensor other memory",
    "layout": "it is for sparse, nested, quantised or packed tensors, whose insides ATen does not check",
    "process": "it changes or reads more than the program's values",
    "internal": "it is part of torch's insides (derivatives, transforms, its tests)",
    "unchecked": "it trusts its arguments, and can crash or read foreign memory where they do not fit",
}

# Numbers with which an operator does not end, even where it is only decomposed: the argument, the number.
_ENDLESS = {
    "aten.matrix_power.default": ("n", -(1 << 63)),
    "aten.linalg_matrix_power.default": ("n", -(1 << 63)),
}


@cache
def _table() -> tuple[frozenset[str], dict[str, str], frozenset[str]]:
    """The allowed operators, the refused ones with their words, and the namespaces that are torch's own."""
    text = Path(__file__).with_name("allowed.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    refused = {target: word for word, targets in table["refused"].items() for target in targets}
    return frozenset(table["allowed"]), refused, frozenset(table["namespaces"])


def allowed() -> frozenset[str]:
    """The targets that ATen may run for a file, of torch's own namespaces and of packages that we know."""
    return _table()[0]


def refusal(target: str) -> str | None:
    """Why a file may not have ATen run an operator, as a sentence; None if it may.

    An operator of another namespace than torch's is the user's, who imported its library.
    """
    known, refused, own = _table()
    if target in known:
        return None
    if is_python(target):
        why = "it is not a function of numbers that programs have"
        return None if target in OF_NUMBERS else f"a file may not call {target}: {why}"
    namespace = namespace_of(target)
    if namespace not in own and not brought(namespace):
        return None
    if target in refused:
        return f"a file may not call {target}: {REASONS[refused[target]]}"
    home = f" (import {HOMES[namespace]} yourself to run it)" if namespace not in own else ""
    return f"a file may not call {target}: it is not among the operators that were found to be safe{home}"


def refused_node(node: Node) -> str | None:
    """Why a file may not run a node on ATen: its operator, one among its arguments, or a layout.

    Nodes of graphs that it is given are not looked at.
    """
    if (why := refusal(node.target)) is not None:
        return why
    if (why := endless(node)) is not None:
        return why
    for item in (item for argument in node.args for item in leaves_of(argument.value)):
        if isinstance(item, Operator) and (why := refusal(item.target)) is not None:
            return why
        if isinstance(item, Layout) and item is not Layout.STRIDED:
            return f"a file may not ask {node.target} for the layout {item.value}: {REASONS['layout']}"
    return None


def endless(node: Node) -> str | None:
    """Why a node does not end, even where it is only decomposed; None for one that ends."""
    if node.target not in _ENDLESS:
        return None
    name, number = _ENDLESS[node.target]
    if any(argument.value == number for argument in node.args):
        return f"a file may not call {node.target} with {name}={number}: it does not end"
    return None
