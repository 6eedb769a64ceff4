"""Checks of whether an operator's arguments fit together: each raises Unfit, which says what does not.

They look at sizes and dtypes, and at the elements of indices: those of fake tensors are not there to look at.
Which operator has which: `lowering/targets/aten/arguments.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
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
_PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")


class Unfit(BridgeError, ValueError):
    """Arguments that an operator must not be called with."""


def _need(condition: bool, text: str) -> None:
    if not condition:
        raise Unfit(text)


def _has_values(tensor: Any) -> bool:
    """Whether the elements can be looked at: those of a fake tensor cannot."""
    return type(tensor) is torch.Tensor and tensor.device.type != "meta" and tensor.numel() > 0


def alike(*names: str) -> Check:
    """These have the same sizes and dtype."""

    def check(given: Given) -> None:
        first, *others = (given[name] for name in names if given.get(name) is not None)
        for other in others:
            same = first.shape == other.shape and first.dtype == other.dtype
            _need(same, f"{', '.join(names)} are not alike: {_type(first)}, {_type(other)}")

    return check


def same_sizes(name: str, other: str) -> Check:
    def check(given: Given) -> None:
        fits = given[name].shape == given[other].shape
        _need(fits, f"{name} is {_type(given[name])}, which does not fit {other}: {_type(given[other])}")

    return check


def within(name: str, sizes_of: str, axes: int) -> Check:
    """The elements are places in the last axes of another argument."""

    def check(given: Given) -> None:
        places, count = given[name], prod(given[sizes_of].shape[-axes:])
        if _has_values(places):
            low, high = torch.aminmax(places)
            _need(int(low) >= 0 and int(high) < count, f"{name} has places outside {sizes_of}")

    return check


def apart(names: Collection[str]) -> Check:
    """What a call writes its results to shares no memory with its other arguments."""

    def check(given: Given) -> None:
        seen: set[int] = set()
        for name in (*(n for n in given if n not in names), *names):
            for tensor in _tensors(given.get(name)):
                place = tensor.untyped_storage()._cdata
                _need(name not in names or place not in seen, f"{name} shares memory with another argument")
                seen.add(place)

    return check


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


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
        _need(fits, f"grad_output is {_type(gradient)}, not {_type(made)}")

    return check


def _type(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def leading(name: str, other: str, axes: int) -> Check:
    """Two arguments have the same sizes but for the last axes, and the same dtype."""

    def check(given: Given) -> None:
        one, two = given[name], given[other]
        same = one.dim() == two.dim() >= axes and one.shape[:-axes] == two.shape[:-axes]
        _need(same and one.dtype == two.dtype, f"{name} is {_type(one)}, and {other} {_type(two)}")

    return check


def norm(given: Given) -> None:
    """A batch norm's parameters have one element for each channel; where it takes no moments, it has some."""
    tensor = given["input"]
    if tensor.dim() < 2:
        raise Unfit(f"a batch norm of {_type(tensor)}, which has no channels")
    channels = tensor.size(1)
    for name in _PER_CHANNEL:
        value = given.get(name)
        # No text is made for what fits: this is called for each layer of a network.
        if value is not None and (value.dim() != 1 or value.numel() != channels):
            raise Unfit(f"{name} is not one element for each of {channels} channels")
    mean, variance = given.get("running_mean"), given.get("running_var")
    _need((mean is None) == (variance is None), "one of running_mean and running_var is missing")
    _need(mean is not None or given.get("training") is not False, "running_mean and running_var are missing")


def layer_norm_backward(given: Given) -> None:
    tensor, inner = given["input"], tuple(given["normalized_shape"])
    at = tensor.dim() - len(inner)
    fits = at >= 0 and len(inner) > 0 and tensor.shape[at:] == inner
    _need(fits, f"normalized_shape={list(inner)} are not the last sizes of {_type(tensor)}")
    outer = prod(tensor.shape[:at])
    for name in ("mean", "rstd"):
        _need(given[name].numel() == outer, f"{name} is not one element for each norm")
    for name in ("weight", "bias"):
        _need(given[name] is None or tuple(given[name].shape) == inner, f"{name} is not of normalized_shape")


def transform(given: Given) -> None:
    """The axes of a Fourier transform: each once, counted from the first; and what it makes has a size."""
    tensor, axes = given["self"], given["dim"]
    known = len(set(axes)) == len(axes) and all(0 <= axis < tensor.dim() for axis in axes)
    _need(known, f"dim={list(axes)} are no axes of {_type(tensor)}")
    _need(0 <= given.get("normalization", 0) <= 2, "normalization is 0, 1 or 2")
    if axes:
        _need(all(tensor.shape[axis] > 0 for axis in axes), "a transform along an axis of size 0")
        size = given.get("last_dim_size")
        fits = size is None or (size > 0 and size // 2 + 1 == tensor.shape[axes[-1]])
        _need(fits, f"last_dim_size={size} is not what an axis of {tensor.shape[axes[-1]]} makes")
    else:
        _need("last_dim_size" not in given, "a transform along no axis")


def strided(given: Given) -> None:
    """A view by sizes and strides stays in the tensor's memory."""
    tensor, size, stride = given["self"], given["size"], given["stride"]
    offset = given.get("storage_offset")
    offset = tensor.storage_offset() if offset is None else offset
    known = len(size) == len(stride) and min((*size, *stride, offset), default=0) >= 0
    _need(known, f"size={list(size)} and stride={list(stride)} do not fit")
    if type(tensor) is torch.Tensor and 0 not in size:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        inside = (last + 1) * tensor.element_size() <= tensor.untyped_storage().nbytes()
        _need(inside, f"size={list(size)} with stride={list(stride)} reach past the end of {_type(tensor)}")


def heads(given: Given) -> None:
    count = given["num_heads" if "num_heads" in given else "num_head"]
    _need(count > 0 and given["embed_dim"] > 0, f"attention of {count} heads")


def same_length(given: Given) -> None:
    """Attention has as many keys as values."""
    key, value = given["key"], given["value"]
    _need(min(key.dim(), value.dim()) >= 2 and key.shape[-2] == value.shape[-2], "as many keys as values")


def attention(given: Given) -> None:
    """Attention's operands are of one dtype, batch, heads and width; the mask fits."""
    query, key, value = given["query"], given["key"], given["value"]
    _need(query.dim() == key.dim() == value.dim() == 4, "query, key and value have four axes")
    sizes = (key.shape[:2] == query.shape[:2], key.shape == value.shape, key.shape[3] == query.shape[3])
    _need(all(sizes) and query.dtype == key.dtype == value.dtype, "query, key and value do not fit together")
    mask = given.get("attn_mask")
    if mask is not None:
        full = (*query.shape[:3], key.shape[2])
        sizes = zip(mask.shape, full[-mask.dim() :], strict=False)
        fits = mask.dim() in (2, 4) and all(n in (1, m) for n, m in sizes)
        _need(fits, f"attn_mask is {_type(mask)}, which does not fit {list(full)}")


def attention_backward(given: Given) -> None:
    query, sums = given["query"], given["logsumexp"]
    for name in ("grad_out", "out"):
        same = given[name].shape == query.shape and given[name].dtype == query.dtype
        _need(same, f"{name} is {_type(given[name])}, and query {_type(query)}")
    _need(sums.shape == query.shape[:3], "logsumexp is not one element for each query")
    wide = torch.float64 if query.dtype is torch.float64 else torch.float32
    _need(sums.dtype is wide, f"logsumexp is {_type(sums)}")


def _is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor is row-major but for the order of its axes."""
    expected = 1
    axes = zip(tensor.stride(), tensor.shape, strict=True)
    for step, size in sorted((step, size) for step, size in axes if size != 1):
        if step != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def weight_norm(given: Given) -> None:
    """One norm for each row of the first or the last axis."""
    vectors, norms, axis = given["v"], given["g"], given["dim"]
    _need(vectors.dim() > 0, "v has no axis")
    # The result takes v's strides, and each of its elements has to have a place.
    _need(_is_dense(vectors), "elements of v overlap, or have gaps between them")
    if axis in (0, vectors.dim() - 1):
        kept = [n if place == axis else 1 for place, n in enumerate(vectors.shape)]
        _need(list(norms.shape) == kept, f"g is {_type(norms)}, not {kept}")


def weight_norm_interface(given: Given) -> None:
    _need(given["dim"] in (0, given["v"].dim() - 1), "dim is the first axis or the last")


def bags(given: Given) -> None:
    """Bags hold all indices, without a bag there is none; and they lie in memory one after the other."""
    indices, offsets = given["indices"], given["offsets"]
    _need(indices.dim() == offsets.dim() == 1, "indices and offsets of bags have one axis")
    for name in ("indices", "offsets", "per_sample_weights"):
        value = given.get(name)
        _need(value is None or value.is_contiguous(), f"{name} is not contiguous")
    ends = bool(given.get("include_last_offset"))
    if indices.numel():
        _need(offsets.numel() > (1 if ends else 0), "offsets of no bag, and indices")


def embedded(given: Given) -> None:
    """A gradient of an embedding has a row for each index, and each index a row of the weight."""
    gradient, indices, count = given["grad_output"], given["indices"], given["num_weights"]
    _need(indices.dtype in (torch.int32, torch.int64), f"indices is {_type(indices)}")
    fits = gradient.dim() > 0 and gradient.shape[:-1] == indices.shape
    _need(fits and count >= 0, f"grad_output is {_type(gradient)}, and indices {_type(indices)}")
    if _has_values(indices):
        low, high = torch.aminmax(indices)
        _need(int(low) >= 0 and int(high) < count, f"indices are not all among {count} rows")


def groups(given: Given) -> None:
    """The ends of groups ascend within the axis that they part."""
    one, two, ends = given["self"], given["mat2"], given["offs"]
    if ends is None or not _has_values(ends):
        return
    size = one.shape[0 if two.dim() == 3 else 1] if one.dim() == 2 else two.shape[-1]
    low, high = torch.aminmax(ends)
    _need(int(low) >= 0 and int(high) <= size, f"offs has groups outside the axis of {size}")
    _need(bool((ends.diff() >= 0).all()), "a group ends before it begins")


def spread(given: Given) -> None:
    """Each element has memory of its own: of others, ATen's medians are not computed."""
    tensor = given["self"]
    once = all(step or n < 2 for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    _need(once, "a median of a tensor that was expanded; make it contiguous first")


def matrix(given: Given) -> None:
    _need(given["self"].dim() == 2, f"self is {_type(given['self'])}, which is no matrix")


def scales(given: Given) -> None:
    """The factors of a resize are those of its sizes."""
    sizes = given["input_size"] if "input_size" in given else given["self"].shape
    for place, name in ((-2, "scales_h"), (-1, "scales_w")):
        factor, made = given.get(name), given["output_size"][place]
        fits = factor is None or abs(sizes[place] * factor - made) <= 1 + 1e-6 * made
        _need(fits, f"{name}={factor} does not make {made} of {sizes[place]}")


def packed_product(given: Given) -> None:
    """A product with four-bit weights has a scale and a zero for each group of each row."""
    one, two, group, of_groups = (given[n] for n in ("self", "mat2", "qGroupSize", "qScaleAndZeros"))
    _need(one.dim() == two.dim() == 2 and group > 0, "a product of matrices, in groups")
    rows, width = two.shape[0], one.shape[1]
    fits = two.shape[1] * 2 == width and width % group == 0
    _need(fits, f"self is {_type(one)}, and mat2 {_type(two)}, in groups of {group}")
    wanted = [width // group, rows, 2]
    _need(list(of_groups.shape) == wanted, f"qScaleAndZeros is {_type(of_groups)}, not {wanted}")
    _need(all(x.is_contiguous() for x in (two, of_groups)), "mat2 and qScaleAndZeros are contiguous")


def lstm(given: Given) -> None:
    """The weights and states of each layer and direction fit the input."""
    tensor, layers = given["input"], given["num_layers"]
    ways = 2 if given["bidirectional"] else 1
    params, hx = given["params"], given["hx"]
    _need(tensor.dim() == 3 and len(hx) == 2, "an LSTM takes an input of three axes and two states")
    _need(0 < layers <= len(params), f"{len(params)} weights for {layers} layers")
    each, left = divmod(len(params), layers * ways)
    projected = hx[0].shape[-1:] != hx[1].shape[-1:]
    fits = not left and each == (4 if given["has_biases"] else 2) + projected
    _need(fits, f"{len(params)} weights for {layers} layers")
    batch = tensor.shape[0 if given["batch_first"] else 1]
    for state in hx:
        if state.dim() != 3 or state.shape[:2] != (layers * ways, batch) or state.dtype != tensor.dtype:
            raise Unfit(f"a state is {_type(state)}")
    states, cells = hx[0].shape[2], hx[1].shape[2]
    of_states, bias, dtype = (4 * cells, states), (4 * cells,), tensor.dtype
    tail = [(states, cells)] if projected else []
    for at in range(layers * ways):
        width = tensor.shape[2] if at < ways else ways * states
        wanted = [(4 * cells, width), of_states, *([bias, bias] if given["has_biases"] else []), *tail]
        own = params[at * each : (at + 1) * each]
        if any(p.shape != w or p.dtype != dtype for p, w in zip(own, wanted, strict=True)):
            raise Unfit(f"weights of layer {at // ways} do not fit the input and the states")


def kernel(given: Given) -> None:
    """A convolution's kernel has the sizes that are said."""
    size, weight = list(given["kernel_size"]), given["weight"]
    fits = list(weight.shape[2:]) == size and 0 not in size
    _need(fits, f"kernel_size={size} is not that of weight: {_type(weight)}")


def modes(given: Given) -> None:
    """The numbers of a grid sampler's modes are ones that it has."""
    for name in ("interpolation_mode", "padding_mode"):
        _need(0 <= given[name] <= 2, f"{name}={given[name]} is none")


def padding(given: Given) -> None:
    _need(all(0 <= size < 1 << 31 for size in given["padding"]), f"padding={list(given['padding'])}")


def window(given: Given) -> None:
    """A pool's only window is no longer than its axis."""
    size = given["self"].shape[-1] if given["self"].dim() else 0
    extents = (given["kernel_size"], given["padding"], given["dilation"])
    (kernel, around, step), *rest = zip(*extents, strict=False)
    _need(not rest and step * (kernel - 1) < size + 2 * around, f"a window of {kernel} in an axis of {size}")


def pivots(rows_of: str, name: str, signed: bool = False) -> Check:
    """One pivot for each column, each a row counted from 1. `signed`: below 0 for blocks of two."""

    def check(given: Given) -> None:
        matrix, rows = given[rows_of], given[name]
        _need(matrix.dim() >= 2, f"{rows_of} is {_type(matrix)}, which is no matrix")
        expected = (*matrix.shape[:-2], min(matrix.shape[-2:]))
        _need(tuple(rows.shape) == expected and _is_integral(rows), f"{name} is {_type(rows)}")
        if _has_values(rows):
            low, high = torch.aminmax(rows.abs() if signed else rows)
            _need(int(low) >= 1 and int(high) <= matrix.shape[-2], f"{name} has rows that {rows_of} has not")

    return check


def segments(given: Given) -> None:
    """Segments are within their axis: lengths are none below 0, and all of it; offsets ascend in it."""
    data, axis = given["data"], given["axis"]
    _need(0 <= axis < data.dim(), f"axis={axis}")
    for name in ("lengths", "offsets"):
        bounds = given[name]
        if bounds is None:
            continue
        fits = bounds.dim() == axis + 1 and bounds.shape[:-1] == data.shape[:axis]
        _need(fits and _is_integral(bounds), f"{name} is {_type(bounds)}, and data {_type(data)}")
        if not _has_values(bounds):
            continue
        size = data.shape[axis]
        low, high = torch.aminmax(bounds)
        _need(int(low) >= 0 and int(high) <= size, f"{name} has segments outside the axis of {size}")
        if name == "lengths":
            _need(bool((bounds.sum(-1) <= size).all()), f"lengths are more than the axis of {size} has")
        else:
            _need(bool((bounds.diff(dim=-1) >= 0).all()), "a segment ends before it begins")


def quotient(given: Given) -> None:
    """The least integer by -1 is no integer, and a trap of the processor."""
    if given.get("rounding_mode", "trunc") != "trunc":
        return
    one, other = given["self"], given["other"]
    if _is_least(one, other) and _is_any(other, lambda x: x == -1):
        raise Unfit("the least integer is divided by -1")


def multiple(given: Given) -> None:
    for name, other in (("self", "other"), ("other", "self")):
        _need(not _is_least(given[name], given[other]), f"{name} has the least integer: it has no magnitude")


def _is_least(value: Any, other: Any) -> bool:
    """Whether an operand of integers has the least one of the dtype that both are computed in."""
    if not _is_integral(value) or not _is_integral(other):
        return False
    dtype = torch.result_type(value, other)
    least = torch.iinfo(dtype).min if dtype is not torch.bool else 0
    return least < 0 and _is_any(value, lambda x: x == least)


def _is_integral(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() and not value.is_complex()
    return isinstance(value, int)


def _is_any(value: Any, test: Callable[[Any], Any]) -> bool:
    if not isinstance(value, torch.Tensor):
        return bool(test(value))
    return _has_values(value) and bool(test(value).any())


def degree(given: Given) -> None:
    """A polynomial takes a step for each degree and element."""
    degree = given["n"]
    if isinstance(degree, torch.Tensor):
        most = float(degree.max()) if _has_values(degree) else 0.0
    else:
        most = float(degree)
    count = max(x.numel() for x in (given["x"], degree) if isinstance(x, torch.Tensor))
    _need(
        not most * max(count, 1) > _MOST_STEPS,
        f"degree {most:g} of {count} elements takes too long",
    )


def power(given: Given) -> None:
    _need(abs(given["n"]) < 1 << 63, "the power has no magnitude")


def random(given: Given) -> None:
    start = given.get("from", 0)
    _need(abs(start) <= 1 << 62, f"from={start} leaves no room for numbers above it")


def labels(given: Given) -> None:
    """The classes of a sequence loss are among those that have a probability."""
    scores, labels = given["log_probs"], given["targets"]
    count = scores.shape[-1] if scores.dim() else 0
    _need(0 <= given["blank"] < count, f"blank={given['blank']} is none of {count} classes")
    if _has_values(labels):
        low, high = torch.aminmax(labels)
        _need(int(low) >= 0 and int(high) < count, f"targets are not all among {count} classes")
