"""Reasoning over sizes and strides: provable equality, products, contiguity, possible views.

Where sizes are symbolic an answer may be None: it depends on the symbols' values.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lowering.ir.polynomials import added, polynomial, term_of
from lowering.ir.symbols import Apply, Dim
from lowering.ir.types import TensorType


def equal(left: Dim, right: Dim) -> bool | None:
    """Whether two sizes are the same for all values of the symbols; None where that is not provable."""
    if left == right:
        return True
    if isinstance(left, int) and isinstance(right, int):
        return False
    difference = added(polynomial(left), polynomial(right), -1)
    if not difference:
        return True
    return False if set(difference) == {()} else None


def all_equal(left: Sequence[Dim], right: Sequence[Dim]) -> bool | None:
    """`equal` of all pairs; sequences of different lengths are not."""
    if len(left) != len(right):
        return False
    answers = {equal(a, b) for a, b in zip(left, right, strict=True)}
    return False if False in answers else None if None in answers else True


def product(dims: Sequence[Dim]) -> Dim:
    """The product, in a form that is the same for equal products of sums and products."""
    if all(isinstance(dim, int) for dim in dims):
        return prod(dim for dim in dims if isinstance(dim, int))
    return term_of(polynomial(Apply("Mul", tuple(dims))))


def row_major(sizes: Sequence[Dim]) -> tuple[Dim, ...]:
    """Row-major strides, in elements (a size of 0 counts as 1, as in torch)."""
    counted = [1 if size == 0 else size for size in sizes]
    return tuple(product(counted[axis + 1 :]) for axis in range(len(counted)))


def is_row_major(type_: TensorType) -> bool | None:
    """torch's `is_contiguous()`: strides of axes of size 1 do not matter, nor do any of an empty tensor."""
    if 0 in type_.sizes:
        return True
    expected: Dim = 1
    answer: bool | None = True
    for size, stride in zip(reversed(type_.sizes), reversed(type_.strides), strict=True):
        if size != 1:
            same = equal(stride, expected)
            if same is False and isinstance(size, int) and type_.is_static:
                return False
            if same is not True:
                answer = None
            expected = product((expected, size))
    return answer


def view_strides(type_: TensorType, sizes: Sequence[Dim]) -> tuple[Dim, ...] | bool | None:
    """The strides with which a tensor can be viewed with other sizes without a copy, as `reshape` decides it.

    False: it takes a copy. None: it depends on the symbols.
    """
    contiguous = is_row_major(type_)
    if contiguous:
        return row_major(sizes)
    if all_equal(type_.sizes, sizes):
        return type_.strides
    old = [size for size in type_.sizes if isinstance(size, int)]
    strides = [stride for stride in type_.strides if isinstance(stride, int)]
    new = [size for size in sizes if isinstance(size, int)]
    if len(old) < type_.rank or len(strides) < type_.rank or len(new) < len(sizes):
        return None
    found = _static_view_strides(old, strides, new)
    return False if found is None else found


def _static_view_strides(
    old: Sequence[int], strides: Sequence[int], new: Sequence[int]
) -> tuple[int, ...] | None:
    """torch's rule: old axes that are dense together form a block, and each new axis lies within one."""
    result = [0] * len(new)
    axis = len(new) - 1
    block, covered, unit = 1, 1, strides[-1] if strides else 1
    for old_axis in reversed(range(len(old))):
        block *= old[old_axis]
        joins = old_axis > 0 and (old[old_axis - 1] == 1 or strides[old_axis - 1] == block * unit)
        if joins:
            continue
        while axis >= 0 and (covered < block or new[axis] == 1):
            result[axis] = covered * unit
            covered *= new[axis]
            axis -= 1
        if covered != block:
            return None
        if old_axis > 0:
            unit, block, covered = strides[old_axis - 1], 1, 1
    return tuple(result) if axis < 0 else None


def clone_strides(type_: TensorType) -> tuple[Dim, ...]:
    """The strides of `clone()`: the same if the elements lie densely, else dense in the same order."""
    if not all(isinstance(dim, int) for dim in (*type_.sizes, *type_.strides)):
        order = [axis for axis in range(type_.rank) if type_.sizes[axis] != 1]
        for permutation in (order, order[::-1]):
            strides = row_major([type_.sizes[axis] for axis in permutation])
            if all(equal(type_.strides[axis], s) for axis, s in zip(permutation, strides, strict=True)):
                return type_.strides
        return row_major(type_.sizes)
    sizes = [size for size in type_.sizes if isinstance(size, int)]
    strides = [stride for stride in type_.strides if isinstance(stride, int)]
    if 0 in sizes:
        return row_major(sizes)
    order = _inner_to_outer(sizes, strides)
    result, expected = [0] * len(sizes), 1
    for axis in order:
        result[axis] = expected
        expected *= sizes[axis]
    dense = all(size == 1 or stride == s for size, stride, s in zip(sizes, strides, result, strict=True))
    return type_.strides if dense else tuple(result)


def _inner_to_outer(sizes: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Axes by stride, as torch sorts them: an insertion sort for which a stride of 0 compares as neither."""
    order = list(reversed(range(len(sizes))))
    for end in range(1, len(order)):
        place = end
        for before in reversed(range(end)):
            a, b = order[before], order[place]
            if strides[a] == 0 or strides[b] == 0:
                continue
            if (strides[a], sizes[a]) > (strides[b], sizes[b]):
                order[before], order[place] = b, a
                place = before
            elif strides[a] < strides[b]:
                break
    return order
