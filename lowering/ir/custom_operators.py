"""Operators outside ATen: their schemas come from torch's own registry, in which they are registered.

The schemas of those that torch does not have are declared here, by whom they belong to.
"""

from __future__ import annotations

from functools import lru_cache

from lowering.ir.aten import OpSchema, parse_schema, schema
from lowering.ir.facts.namespaces import has_schema, is_aten
from lowering.ir.homes import import_home

_DECLARED: dict[str, str] = {}


def declare(target: str, text: str) -> None:
    """Take a schema for an overload: torch's text of it from the opening parenthesis on, without the name.

    Raises ValueError for what is not a schema.
    """
    try:
        parsed = parse_schema(target, text, "")
    except (LookupError, ValueError) as error:
        raise ValueError(f"{text!r} is not a schema") from error
    sound = all(parameter.type and parameter.name.isidentifier() for parameter in parsed.parameters)
    if not text.startswith("(") or " -> " not in text or not sound:
        raise ValueError(f"{text!r} is not a schema")
    _DECLARED[target] = text


def declared(target: str) -> str | None:
    """The schema that was declared for an overload."""
    return _DECLARED.get(target)


def schema_of(target: str) -> OpSchema | None:
    """The schema of any operator: those of the table from there, a custom one's as declared, else from torch.

    Imports torch for a custom operator only. None for one that nothing has registered.
    """
    text = _DECLARED.get(target)
    if text is not None:
        return parse_schema(target, text, "")
    found = schema(target)
    if found is not None or is_aten(target) or not has_schema(target) or target.count(".") != 2:
        return found
    try:
        return _registered(target)
    except LookupError:
        return None


@lru_cache(maxsize=1 << 12)
def _registered(target: str) -> OpSchema:
    """Raises LookupError for what is not registered: no cache keeps that, so its module may come later."""
    import torch

    namespace, name, overload = target.split(".")
    import_home(namespace)
    qualified = f"{namespace}::{name}"
    found = torch._C._jit_get_schemas_for_operator(qualified)
    wanted = "" if overload == "default" else overload
    declared = next((s for s in found if s.overload_name == wanted), None)
    if declared is None:
        raise LookupError(target)
    operator = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    text = str(declared)
    return parse_schema(target, text[text.index("(") :], " ".join(tag.name for tag in operator.tags))
