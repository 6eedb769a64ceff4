"""Pytrees as data: the structure of a call's arguments and results, read from the archive's own specs.

Spec text is torch's `treespec_dumps` format: `[1, {"type": ..., "context": ..., "children_spec": [...]}]`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """One node of a pytree.

    `type` is the container's qualified name (`builtins.tuple`, `builtins.dict`, `collections.namedtuple`, ...),
    or None for a leaf. `context` is its JSON-able context as torch wrote it (a dict's keys, a namedtuple's
    registered name), still JSON text. None itself is a leaf to torch.
    """

    type: str | None
    context: str | None = None
    children: tuple[TreeSpec, ...] = ()

    @property
    def leaves(self) -> int:
        """How many leaves there are below (1 for a leaf)."""
        return 1 if self.type is None else sum(child.leaves for child in self.children)


LEAF = TreeSpec(None)
