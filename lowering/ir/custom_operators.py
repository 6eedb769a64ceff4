"""Operators outside ATen: their schemas come from torch's own registry, in which they are registered."""

from __future__ import annotations

from functools import lru_cache

from lowering.ir.aten import OpSchema, parse_schema, schema
from lowering.ir.facts.namespaces import has_schema, is_aten
from lowering.ir.homes import import_home


def schema_of(target: str) -> OpSchema | None:
    """The schema of any operator: those of the table from there, a custom one's from torch.

    Imports torch for a custom operator only. None for one that nothing has registered.
    """
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
