"""Checks of whether an operator's arguments fit together: each raises Unfit, which says what does not.

They look at sizes and dtypes, and at the elements of indices, unless the tensor is a fake one. Which operator
has which: `lowering/targets/aten/arguments.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch

from lowering.ir.errors import BridgeError

# Arguments by the schema's names.
Given = Mapping[str, Any]
# Raises Unfit.
Check = Callable[[Given], None]

# Steps of a recurrence that is evaluated for each element; ATen does some hundred million a second.
_MOST_STEPS = 1 << 30
_MOST_PIECES = 1 << 16


class Unfit(BridgeError, ValueError):
    """Arguments that an operator must not be called with."""


def need(condition: bool, text: str) -> None:
    if not condition:
        raise Unfit(text)


def has_values(tensor: Any) -> bool:
    """Whether the elements can be looked at: those of a fake tensor cannot."""
    return type(tensor) is torch.Tensor and tensor.device.type != "meta" and tensor.numel() > 0


def alike(*names: str) -> Check:
    """These have the same sizes and dtype."""

    def check(given: Given) -> None:
        first, *others = (given[name] for name in names if given.get(name) is not None)
        for other in others:
            same = first.shape == other.shape and first.dtype == other.dtype
            need(same, f"{', '.join(names)} are not alike: {described(first)}, {described(other)}")

    return check


def same_sizes(name: str, other: str) -> Check:
    def check(given: Given) -> None:
        fits = given[name].shape == given[other].shape
        need(
            fits, f"{name} is {described(given[name])}, which does not fit {other}: {described(given[other])}"
        )

    return check


def within(name: str, sizes_of: str, axes: int) -> Check:
    """The elements are places in the last axes of another argument."""

    def check(given: Given) -> None:
        places, count = given[name], prod(given[sizes_of].shape[-axes:])
        if has_values(places):
            low, high = torch.aminmax(places)
            need(int(low) >= 0 and int(high) < count, f"{name} has places outside {sizes_of}")

    return check


def share_no_memory(names: Collection[str]) -> Check:
    """The arguments that a call writes its results to share no memory with its other arguments."""

    def check(given: Given) -> None:
        seen: set[int] = set()
        for name in (*(n for n in given if n not in names), *names):
            for tensor in tensors_of(given.get(name)):
                place = tensor.untyped_storage()._cdata
                need(name not in names or place not in seen, f"{name} shares memory with another argument")
                seen.add(place)

    return check


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)


def gradient_of(name: str) -> Check:
    """`grad_output` has the sizes that an operator gives for `self`, and its dtype."""

    def check(given: Given) -> None:
        forward = getattr(torch.ops.aten, name).default
        wanted = [argument.name for argument in forward._schema.arguments[1:]]
        gradient, tensor = given["grad_output"], given["self"]
        like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        made = forward(like, **{n: given[n] for n in wanted if n in given})
        made = made[0] if isinstance(made, (tuple, list)) else made
        fits = made.shape == gradient.shape and made.dtype == gradient.dtype
        need(fits, f"grad_output is {described(gradient)}, not {described(made)}")

    return check


def described(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def leading(name: str, other: str, axes: int) -> Check:
    """Two arguments have the same sizes but for the last axes, and the same dtype."""

    def check(given: Given) -> None:
        one, two = given[name], given[other]
        same = one.dim() == two.dim() >= axes and one.shape[:-axes] == two.shape[:-axes]
        need(same and one.dtype == two.dtype, f"{name} is {described(one)}, and {other} {described(two)}")
        has_place = one.numel() == 0 or 0 not in two.shape[-axes:]
        need(has_place, f"{name} is {described(one)}, and {other} has no element: {described(two)}")

    return check


def pivots(rows_of: str, name: str, signed: bool = False) -> Check:
    """One pivot for each column, each a row counted from 1. `signed`: below 0 for blocks of two."""

    def check(given: Given) -> None:
        matrix, rows = given[rows_of], given[name]
        need(matrix.dim() >= 2, f"{rows_of} is {described(matrix)}, which is not a matrix")
        expected = (*matrix.shape[:-2], min(matrix.shape[-2:]))
        need(tuple(rows.shape) == expected and is_integral(rows), f"{name} is {described(rows)}")
        if has_values(rows):
            low, high = torch.aminmax(rows.abs() if signed else rows)
            need(int(low) >= 1 and int(high) <= matrix.shape[-2], f"{name} has rows that {rows_of} has not")
            if signed:
                paired = all(map(_in_pairs, rows.reshape(-1, rows.shape[-1]).tolist()))
                need(paired, f"{name} has half a block of two")

    return check


def same_batch(name: str, other: str) -> Check:
    """Two batches of matrices have one shape before the matrices: torch 2.13 reads
    past one that is broadcast."""

    def check(given: Given) -> None:
        fits = given[name].shape[:-2] == given[other].shape[:-2]
        need(fits, f"{name} is {described(given[name])}, and {other} {described(given[other])}")

    return check


def _in_pairs(rows: Sequence[int]) -> bool:
    """Whether each row below 0 stands beside its equal, as LAPACK's sytrf leaves blocks of two."""
    at = 0
    while at < len(rows):
        if rows[at] < 0 and rows[at : at + 2] != [rows[at]] * 2:
            return False
        at += 2 if rows[at] < 0 else 1
    return True


def segments(given: Given) -> None:
    """Segments are within their axis: lengths are none below 0, and all of it; offsets ascend in it."""
    data, axis = given["data"], given["axis"]
    need(0 <= axis < data.dim(), f"axis={axis}")
    for name in ("lengths", "offsets"):
        bounds = given[name]
        if bounds is None:
            continue
        fits = bounds.dim() == axis + 1 and bounds.shape[:-1] == data.shape[:axis]
        need(fits and is_integral(bounds), f"{name} is {described(bounds)}, and data {described(data)}")
        if not has_values(bounds):
            continue
        size = data.shape[axis]
        low, high = torch.aminmax(bounds)
        need(int(low) >= 0 and int(high) <= size, f"{name} has segments outside the axis of {size}")
        if name == "lengths":
            need(bool((bounds.sum(-1) <= size).all()), f"lengths are more than the axis of {size} has")
        else:
            need(bool((bounds.diff(dim=-1) >= 0).all()), "a segment ends before it begins")


def quotient(given: Given) -> None:
    """The quotient of the least integer by -1 is not an integer, and a trap of the processor."""
    if given.get("rounding_mode", "trunc") != "trunc":
        return
    one, other = given["self"], given["other"]
    if is_least(one, other) and is_any(other, lambda x: x == -1):
        raise Unfit("the least integer is divided by -1")


def multiple(given: Given) -> None:
    for name, other in (("self", "other"), ("other", "self")):
        need(not is_least(given[name], given[other]), f"{name} has the least integer: it has no magnitude")


def is_least(value: Any, other: Any) -> bool:
    """Whether an operand of integers has the least one of the dtype that both are computed in."""
    if not is_integral(value) or not is_integral(other):
        return False
    dtype = torch.result_type(value, other)
    least = torch.iinfo(dtype).min if dtype is not torch.bool else 0
    return least < 0 and is_any(value, lambda x: x == least)


def is_integral(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() and not value.is_complex()
    return isinstance(value, int)


def is_any(value: Any, test: Callable[[Any], Any]) -> bool:
    if not isinstance(value, torch.Tensor):
        return bool(test(value))
    return has_values(value) and bool(test(value).any())


def degree(given: Given) -> None:
    """A polynomial takes a step for each degree and element."""
    degree = given["n"]
    if isinstance(degree, torch.Tensor):
        most = float(degree.max()) if has_values(degree) else 0.0
    else:
        most = float(degree)
    count = max(x.numel() for x in (given["x"], degree) if isinstance(x, torch.Tensor))
    need(
        not most * max(count, 1) > _MOST_STEPS,
        f"degree {most:g} of {count} elements takes too long",
    )


def power(given: Given) -> None:
    need(abs(given["n"]) < 1 << 63, "the power has no magnitude")


def random(given: Given) -> None:
    start = given.get("from", 0)
    need(abs(start) <= 1 << 62, f"from={start} leaves no room for numbers above it")


def labels(given: Given) -> None:
    """The classes of a sequence loss are among those that have a probability."""
    scores, labels = given["log_probs"], given["targets"]
    count = scores.shape[-1] if scores.dim() else 0
    need(0 <= given["blank"] < count, f"blank={given['blank']} is none of {count} classes")
    if has_values(labels):
        low, high = torch.aminmax(labels)
        need(int(low) >= 0 and int(high) < count, f"targets are not all among {count} classes")


def classes(given: Given) -> None:
    """The target of a loss is a class for each row, or the class that is ignored."""
    tensor, target = given["self"], given["target"]
    count = tensor.shape[min(tensor.dim() - 1, 1)] if tensor.dim() else 0
    if has_values(target):
        known = (target == given["ignore_index"]) | ((target >= 0) & (target < count))
        need(bool(known.all()), f"target has classes that are none of {count}")


def rows(given: Given) -> None:
    """A loss that is one number has rows: ATen leaves that of none unset."""
    need(given["reduction"] == 0 or given["self"].numel() > 0, "a loss of no row")


def margin_gradient(given: Given) -> None:
    """The gradient of a loss of margins is one number, or one of each row."""
    value, gradient = given["self"], given["grad_output"]
    need(value.dim() <= 2 and value.numel() > 0, f"a loss of {described(value)}")
    count = value.shape[0] if given["reduction"] == 0 and value.dim() == 2 else 1
    fits = gradient.dim() <= 1 and gradient.numel() == count
    need(fits, f"grad_output is {described(gradient)}, and the loss has {count} elements")


def stretching(*names: str) -> Check:
    """These stretch to the size of `self`, axes of one element aside: ATen computes no more and no fewer."""

    def check(given: Given) -> None:
        size = given["self"].squeeze().shape
        for name in names:
            own = given[name].squeeze().shape
            stretches = len(own) <= len(size) and all(
                a in (1, b) for a, b in zip(own[::-1], size[::-1], strict=False)
            )
            need(stretches, f"{name} is {described(given[name])}, which does not stretch to self")

    return check


def fractional(*names: str) -> Check:
    """One of these is of floating point: integers would be divided by a fraction that was rounded to 0."""

    def check(given: Given) -> None:
        floating = any(given[name].is_floating_point() for name in names)
        need(floating, f"{', '.join(names)} are integers")

    return check


def repeats(given: Given) -> None:
    """No element is repeated less than not at all, and all together as often as the result is long."""
    counts, length = given["repeats"], given.get("output_size")
    if isinstance(counts, torch.Tensor) and has_values(counts):
        total = float(counts.to(torch.float64).sum())
        tensor, axis = given.get("self"), given.get("dim")
        if tensor is not None and counts.numel() == 1:  # one number for all
            total *= tensor.numel() if axis is None or not tensor.dim() else tensor.shape[axis]
        need(int(counts.min()) >= 0 and total < 1 << 62, "repeats has numbers below 0, or too large ones")
        need(length is None or length == total, f"output_size={length}, and repeats are {total:g} together")


def pieces(given: Given) -> None:
    """A split makes no more pieces than can be counted: each is a tensor, also where it has no element."""
    wanted = given.get("sections", given.get("tensor_indices_or_sections"))
    if isinstance(wanted, torch.Tensor):
        wanted = int(wanted) if has_values(wanted) and wanted.numel() == 1 else 0
    need(wanted <= _MOST_PIECES, f"a split into {wanted} pieces")


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor is row-major but for the order of its axes."""
    expected = 1
    axes = zip(tensor.stride(), tensor.shape, strict=True)
    for step, size in sorted((step, size) for step, size in axes if size != 1):
        if step != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def dense(name: str) -> Check:
    """A tensor has no overlaps and no gaps: kernels read its memory from end to end."""

    def check(given: Given) -> None:
        need(is_dense(given[name]), f"elements of {name} overlap, or have gaps between them")

    return check


def unexpanded(name: str) -> Check:
    """No axis has all its elements in one place."""

    def check(given: Given) -> None:
        axes = zip(given[name].stride(), given[name].shape, strict=True)
        need(not any(step == 0 and size > 1 for step, size in axes), f"{name} is expanded")

    return check


def finite(name: str) -> Check:
    """No NaN and no infinity, of which LAPACK makes indices; `linalg.eig` refuses them itself."""

    def check(given: Given) -> None:
        value = given[name]
        need(not has_values(value) or bool(torch.isfinite(value).all()), f"{name} has infinities or NaN")

    return check
