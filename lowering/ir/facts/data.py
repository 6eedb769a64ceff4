"""Operators whose results' sizes, or values as Python numbers, only the data gives."""

from __future__ import annotations

from collections.abc import Collection

from lowering.ir.aten import schema

# torch's tags of them.
_TAGS = frozenset({"data_dependent_output", "dynamic_output_shape"})


def depends_on_data(target: str) -> bool:
    """Whether torch says that an operator's sizes or numbers depend on the data."""
    found = schema(target)
    return found is not None and tags_depend_on_data(found.tags)


def tags_depend_on_data(tags: Collection[str]) -> bool:
    """The same of an operator's tags, for one that the table does not have."""
    return not _TAGS.isdisjoint(tags)


def takes_item(target: str) -> bool:
    """Whether an operator gives the one element of a tensor as a Python number."""
    return target in ("aten.item.default", "aten._local_scalar_dense.default")
