"""Arguments that hold indices: which, into what, and how many there are to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from math import prod
from typing import Any, NamedTuple

from lowering.ir.facts.namespaces import base_name, is_aten
from lowering.ir.program import Arg
from lowering.ir.types import DType, TensorType

# A call's arguments by name.
Bound = Mapping[str, Any]
# The type of a tensor argument, None for others; and its sizes as numbers.
TypeOf = Callable[[Arg], TensorType | None]
Sizes = Callable[[Arg], tuple[int, ...]]


class Addresses(Enum):
    """The addresses of an index of a written argument."""

    ROW = "row"  # along `dim`
    ELEMENT = "element"  # in the index's own place, but along `dim`
    POINT = "point"  # by one index for each of the leading axes


def _rows_of_weight(bound: Bound, sizes: Sizes) -> int:
    return sizes(bound["weight"])[0]


def _axis(bound: Bound, sizes: Sizes) -> int:
    """The size of the argument's dimension `dim`; all elements where that is None."""
    own, dim = sizes(bound["self"]), bound.get("dim")
    if dim is None:
        return prod(own)
    return own[dim] if own else 1


def _classes(bound: Bound, sizes: Sizes) -> int:
    """Losses take scores of sizes (classes,) or (batch, classes, ...)."""
    own = sizes(bound["self"])
    return own[min(1, len(own) - 1)]


def _given_classes(bound: Bound, sizes: Sizes) -> int | None:
    classes = bound["num_classes"]
    return classes if isinstance(classes, int) and classes > 0 else None


class IndexArgument(NamedTuple):
    """An argument of indices. `limit`: how many there are to choose from; None where nothing bounds them."""

    name: str
    limit: Callable[[Bound, Sizes], int | None]


# By operator, all its overloads.
INDEX_ARGUMENTS: Mapping[str, IndexArgument] = {
    **dict.fromkeys(("embedding", "embedding_bag"), IndexArgument("indices", _rows_of_weight)),
    **dict.fromkeys(
        ("index_select", "gather", "index_copy", "index_add", "index_fill", "index_reduce"),
        IndexArgument("index", _axis),
    ),
    **dict.fromkeys(
        ("scatter", "scatter_add", "scatter_reduce", "take", "put"), IndexArgument("index", _axis)
    ),
    "take_along_dim": IndexArgument("indices", _axis),
    "one_hot": IndexArgument("self", _given_classes),
    **dict.fromkeys(("nll_loss", "nll_loss_nd", "cross_entropy_loss"), IndexArgument("target", _classes)),
}

# Operators that take one index for each of the leading axes.
_POINTS = frozenset({"index", "index_put", "_unsafe_index", "_unsafe_index_put"})

# Operators that write to the elements of `self` that their index addresses, and to no others.
_WRITTEN: Mapping[str, Addresses] = {
    **dict.fromkeys(("index_copy", "index_add", "index_fill", "index_reduce"), Addresses.ROW),
    **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce"), Addresses.ELEMENT),
    **dict.fromkeys(("index_put", "_unsafe_index_put", "_index_put_impl"), Addresses.POINT),
}

# ATen sums them in whatever order its threads come, in float32, where the argument `accumulate` asks for a
# sum. On torch 2.13, 35 other operators that sum gave the same bits in 50 to 200 calls on two threads. So did
# these in other element types.
_IN_ANY_ORDER = frozenset({"index_put", "_unsafe_index_put", "_index_put_impl", "put"})


def index_limits(
    target: str, bound: Bound, type_of: TypeOf, sizes: Sizes
) -> Iterator[tuple[Arg, int | None]]:
    """The arguments of a call that hold indices, each with how many there are to choose from, None if any."""
    name = base_name(target)
    if not is_aten(target):
        return
    if name in INDEX_ARGUMENTS:
        argument, limit = INDEX_ARGUMENTS[name]
        yield bound[argument], limit(bound, sizes)
    elif name in _POINTS:
        yield from _points(bound, type_of, sizes)


def _points(bound: Bound, type_of: TypeOf, sizes: Sizes) -> Iterator[tuple[Arg, int]]:
    """The indices of `x[i, :, j]`, each with the size of its axis. A mask covers all its axes."""
    own, axis = sizes(bound["self"]), 0
    for index in bound["indices"]:
        type_ = type_of(index)
        if type_ is not None and type_.dtype is DType.BOOL:
            axis += type_.rank
            continue
        yield index, own[axis]
        axis += 1


def addresses(target: str) -> Addresses | None:
    """The addresses of the index of an operator that writes; None where it may write any element."""
    return _WRITTEN.get(base_name(target)) if is_aten(target) else None


def may_sum_in_any_order(target: str) -> bool:
    """Whether ATen may give other bits of `self`, of float32, each time it is called with `accumulate`."""
    return is_aten(target) and base_name(target) in _IN_ANY_ORDER


def takes_points(target: str) -> bool:
    """Whether an operator gives the elements at `indices`, one for each leading axis or mask."""
    return is_aten(target) and base_name(target) in ("index", "_unsafe_index")


def puts_points(target: str) -> bool:
    """Whether an operator writes `values` to the elements at `indices`."""
    return addresses(target) is Addresses.POINT
