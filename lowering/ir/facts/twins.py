"""The overload that does in place what another does, and the one that does not."""

from __future__ import annotations

from lowering.ir.aten import schema
from lowering.ir.facts.effects import changes_strides, is_random


def in_place_twin(target: str) -> str | None:
    """The overload that does in place what this functional one does, or None.

    It takes the same arguments, writes the first alone, and leaves its sizes and strides as they are.
    """
    namespace, _, rest = target.partition(".")
    name, _, overload = rest.partition(".")
    own, found = schema(target), schema(f"{namespace}.{name}_.{overload}")
    if own is None or found is None or any(result.alias for result in own.returns):
        return None
    if changes_strides(found.tags) or is_random(found.tags):
        return None
    if [p.name for p in found.parameters if p.writes] != [found.parameters[0].name]:
        return None
    same = [parameter.name for parameter in own.parameters] == [p.name for p in found.parameters]
    return found.target if same else None


def functional_twin(target: str) -> str:
    """`aten.add_.Tensor` -> `aten.add.Tensor`; others unchanged, those of other namespaces too: there a name
    means what its author likes."""
    head, _, overload = target.rpartition(".")
    named = head.startswith("aten.") and head.endswith("_") and not head.endswith("__")
    return f"{head[:-1]}.{overload}" if named else target
