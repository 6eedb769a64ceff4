"""Operators that view or carry their argument's elements. The elements that a view selects:
`lowering.ir.views`."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.aten import schema
from lowering.ir.facts.namespaces import base_name, is_aten

# Their results hold the same numbers as their first argument, in whatever places.
_CARRIERS = frozenset(
    """
    view reshape flatten unsqueeze squeeze expand clone contiguous to _to_copy slice select transpose permute
    alias detach lift_fresh_copy type_as t _unsafe_view view_as expand_as broadcast_to repeat flip roll
    """.split()
)

# Functional writes to a part of a tensor: the view that is the part.
_WRITTEN_PARTS: Mapping[str, str] = {
    "aten.slice_scatter.default": "aten.slice.Tensor",
    "aten.select_scatter.default": "aten.select.int",
    "aten.diagonal_scatter.default": "aten.diagonal.default",
}

# Views that demand strides which fit, and the operator that gives the same elements for any.
_OF_ANY_STRIDES: Mapping[str, str] = {
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
}

# They give a tensor the sizes that they are told, and put its elements where those sizes have them.
_SIZED = frozenset({"aten.expand.default", "aten.view.default", "aten.reshape.default"})

# Views that demand strides which fit, and have no such operator.
_OF_ROWS = frozenset({"aten.view.dtype", "aten.view_as_complex.default", "aten._reshape_alias.default"})


def gives_sizes(target: str) -> bool:
    """Whether an operator gives its argument sizes that it is told: `expand`, `view`, `reshape`."""
    return target in _SIZED


def is_view(target: str) -> bool:
    """Whether an operator's schema says that a result is a view of an argument, and not that argument."""
    found = schema(target)
    return found is not None and any(result.alias and not result.writes for result in found.returns)


def only_views(target: str) -> bool:
    """Whether each result of an operator is, or may be, a view of an argument."""
    found = schema(target)
    return found is not None and all(found.aliased(at) for at in range(len(found.returns)))


def carries(target: str) -> bool:
    """Whether a result holds the same numbers as the first argument, moved, repeated, cast or left out."""
    return is_aten(target) and base_name(target) in _CARRIERS


def written_part(target: str) -> str | None:
    """The view into which a functional write, such as `slice_scatter`, copies its source."""
    return _WRITTEN_PARTS.get(target)


def of_any_strides(target: str) -> str | None:
    """The operator that does for any strides what this view does for some, or None."""
    return _OF_ANY_STRIDES.get(target)


def needs_rows(target: str) -> bool:
    """Whether a view takes no other strides than those that it was recorded with."""
    return target in _OF_ROWS
