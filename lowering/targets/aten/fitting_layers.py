"""Checks of the arguments of layers: norms, attention, embeddings, recurrence, windows. See `fitting`."""

from __future__ import annotations

from math import prod

import torch

from lowering.targets.aten.fitting import Check, Given, Unfit, described, has_values, is_dense, need

_PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")


def norm(given: Given) -> None:
    """A batch norm's parameters have one element for each channel; where it takes no moments, it has some."""
    tensor = given["input"]
    if tensor.dim() < 2:
        raise Unfit(f"a batch norm of {described(tensor)}, which has no channels")
    channels = tensor.size(1)
    for name in _PER_CHANNEL:
        value = given.get(name)
        # No text is made for what fits: this is called for each layer of a network.
        if value is not None and (value.dim() != 1 or value.numel() != channels):
            raise Unfit(f"{name} is not one element for each of {channels} channels")
    mean, variance = given.get("running_mean"), given.get("running_var")
    need((mean is None) == (variance is None), "one of running_mean and running_var is missing")
    need(mean is not None or given.get("training") is not False, "running_mean and running_var are missing")


def layer_norm_backward(given: Given) -> None:
    tensor, inner = given["input"], tuple(given["normalized_shape"])
    at = tensor.dim() - len(inner)
    fits = at >= 0 and len(inner) > 0 and tensor.shape[at:] == inner
    need(fits, f"normalized_shape={list(inner)} are not the last sizes of {described(tensor)}")
    outer = prod(tensor.shape[:at])
    for name in ("mean", "rstd"):
        need(given[name].numel() == outer, f"{name} is not one element for each norm")
    for name in ("weight", "bias"):
        need(given[name] is None or tuple(given[name].shape) == inner, f"{name} is not of normalized_shape")


def transform(given: Given) -> None:
    """The axes of a Fourier transform: each once, counted from the first; and its result has a size."""
    tensor, axes = given["self"], given["dim"]
    known = len(set(axes)) == len(axes) and all(0 <= axis < tensor.dim() for axis in axes)
    need(known, f"dim={list(axes)} are not axes of {described(tensor)}")
    need(0 <= given.get("normalization", 0) <= 2, "normalization is 0, 1 or 2")
    if axes:
        need(all(tensor.shape[axis] > 0 for axis in axes), "a transform along an axis of size 0")
        size = given.get("last_dim_size")
        fits = size is None or (size > 0 and size // 2 + 1 == tensor.shape[axes[-1]])
        need(fits, f"last_dim_size={size} is not what an axis of {tensor.shape[axes[-1]]} makes")
    else:
        need("last_dim_size" not in given, "a transform along no axis")


def strided(given: Given) -> None:
    """A view by sizes and strides stays in the tensor's memory."""
    tensor, size, stride = given["self"], given["size"], given["stride"]
    offset = given.get("storage_offset")
    offset = tensor.storage_offset() if offset is None else offset
    known = len(size) == len(stride) and min((*size, *stride, offset), default=0) >= 0
    need(known, f"size={list(size)} and stride={list(stride)} do not fit")
    if type(tensor) is torch.Tensor and 0 not in size:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        inside = (last + 1) * tensor.element_size() <= tensor.untyped_storage().nbytes()
        need(
            inside, f"size={list(size)} with stride={list(stride)} reach past the end of {described(tensor)}"
        )


def heads(given: Given) -> None:
    count = given["num_heads" if "num_heads" in given else "num_head"]
    need(count > 0 and given["embed_dim"] > 0, f"attention of {count} heads")


def encoder_layer(given: Given) -> None:
    """The weights of a fused layer have its input's dtype. The projections have its width."""
    source, width = given["src" if "src" in given else "query"], given["embed_dim"]
    for name, sizes in {"qkv_weight": (3 * width, width), "qkv_bias": (3 * width,)}.items():
        need(given[name].shape == sizes, f"{name} is {described(given[name])}, not {list(sizes)}")
    for name, value in given.items():
        if name.startswith(("qkv_", "proj_", "norm_weight", "norm_bias", "ffn_")):
            need(value.dtype == source.dtype, f"{name} is {described(value)}, the input {described(source)}")


def same_length(given: Given) -> None:
    """Attention has as many keys as values."""
    key, value = given["key"], given["value"]
    need(min(key.dim(), value.dim()) >= 2 and key.shape[-2] == value.shape[-2], "as many keys as values")
    if given.get("enable_gqa"):
        grouped = min(key.dim(), value.dim()) >= 3 and 0 not in (key.shape[-3], value.shape[-3])
        need(grouped, "attention in groups has heads of keys and of values")


def attention(given: Given) -> None:
    """Attention's operands are of one dtype, batch, heads and width; the mask fits."""
    query, key, value = given["query"], given["key"], given["value"]
    need(query.dim() == key.dim() == value.dim() == 4, "query, key and value have four axes")
    sizes = (key.shape[:2] == query.shape[:2], key.shape == value.shape, key.shape[3] == query.shape[3])
    need(all(sizes) and query.dtype == key.dtype == value.dtype, "query, key and value do not fit together")
    need(query.numel() > 0 and key.numel() > 0, "attention without a query or a key")
    mask = given.get("attn_mask")
    if mask is not None:
        full = (*query.shape[:3], key.shape[2])
        sizes = zip(mask.shape, full[-mask.dim() :], strict=False)
        fits = mask.dim() in (2, 4) and all(n in (1, m) for n, m in sizes)
        need(fits, f"attn_mask is {described(mask)}, which does not fit {list(full)}")


def attention_backward(given: Given) -> None:
    query, sums = given["query"], given["logsumexp"]
    for name in ("grad_out", "out"):
        same = given[name].shape == query.shape and given[name].dtype == query.dtype
        need(same, f"{name} is {described(given[name])}, and query {described(query)}")
    need(sums.shape == query.shape[:3], "logsumexp is not one element for each query")
    wide = torch.float64 if query.dtype is torch.float64 else torch.float32
    need(sums.dtype is wide, f"logsumexp is {described(sums)}")


def weight_norm(given: Given) -> None:
    """One norm for each row of the first or the last axis."""
    vectors, norms, axis = given["v"], given["g"], given["dim"]
    need(vectors.numel() > 0 and vectors.dim() > 0, f"v is {described(vectors)}, which has no norm")
    # The result takes v's strides, and each of its elements has to have a place.
    need(is_dense(vectors), "elements of v overlap, or have gaps between them")
    if axis in (0, vectors.dim() - 1):
        kept = [n if place == axis else 1 for place, n in enumerate(vectors.shape)]
        need(list(norms.shape) == kept, f"g is {described(norms)}, not {kept}")


def weight_norm_interface(given: Given) -> None:
    need(given["dim"] in (0, given["v"].dim() - 1), "dim is the first axis or the last")
    need(is_dense(given["g"]), "elements of g overlap, or have gaps between them")


def bags(given: Given) -> None:
    """Bags hold all indices, without a bag there is none; and they lie in memory one after the other."""
    indices, offsets = given["indices"], given["offsets"]
    need(indices.dim() == offsets.dim() == 1, "indices and offsets of bags have one axis")
    for name in ("indices", "offsets", "per_sample_weights"):
        value = given.get(name)
        need(value is None or value.is_contiguous(), f"{name} is not contiguous")
    ends = bool(given.get("include_last_offset"))
    if indices.numel():
        need(offsets.numel() > (1 if ends else 0), "offsets of no bag, and indices")
    if has_values(offsets):
        inside = int(offsets.min()) >= 0 and int(offsets.max()) <= indices.numel()
        need(inside and bool((offsets.diff() >= 0).all()), "offsets do not ascend within the indices")


def embedded(given: Given) -> None:
    """A gradient of an embedding has a row for each index, and each index a row of the weight."""
    gradient, indices, count = given["grad_output"], given["indices"], given["num_weights"]
    need(indices.dtype in (torch.int32, torch.int64), f"indices is {described(indices)}")
    fits = gradient.dim() > 0 and gradient.shape[:-1] == indices.shape
    need(fits and count >= 0, f"grad_output is {described(gradient)}, and indices {described(indices)}")
    if has_values(indices):
        low, high = torch.aminmax(indices)
        need(int(low) >= 0 and int(high) < count, f"indices are not all among {count} rows")


def groups(given: Given) -> None:
    """The ends of groups ascend within the axis that they part."""
    one, two, ends = given["self"], given["mat2"], given["offs"]
    if ends is None or not has_values(ends):
        return
    size = one.shape[0 if two.dim() == 3 else 1] if one.dim() == 2 else two.shape[-1]
    low, high = torch.aminmax(ends)
    need(int(low) >= 0 and int(high) <= size, f"offs has groups outside the axis of {size}")
    need(bool((ends.diff() >= 0).all()), "a group ends before it begins")


def spread(given: Given) -> None:
    """Each element has memory of its own: of others, ATen's medians are not computed."""
    tensor = given["self"]
    once = all(step or n < 2 for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    need(once, "a median of a tensor that was expanded; make it contiguous first")


def matrix(name: str) -> Check:
    def check(given: Given) -> None:
        need(given[name].dim() == 2, f"{name} is {described(given[name])}, which is not a matrix")

    return check


def scales(given: Given) -> None:
    """The factors of a resize are those of its sizes."""
    sizes = given["input_size"] if "input_size" in given else given["self"].shape
    for place, name in ((-2, "scales_h"), (-1, "scales_w")):
        factor, made = given.get(name), given["output_size"][place]
        fits = factor is None or abs(sizes[place] * factor - made) <= 1 + 1e-6 * made
        need(fits, f"{name}={factor} does not make {made} of {sizes[place]}")


def packed_product(given: Given) -> None:
    """A product with four-bit weights has a scale and a zero for each group of each row."""
    one, two, group, of_groups = (given[n] for n in ("self", "mat2", "qGroupSize", "qScaleAndZeros"))
    need(one.dim() == two.dim() == 2 and group > 0, "a product of matrices, in groups")
    rows, width = two.shape[0], one.shape[1]
    fits = two.shape[1] * 2 == width and width % group == 0
    need(fits, f"self is {described(one)}, and mat2 {described(two)}, in groups of {group}")
    wanted = [width // group, rows, 2]
    need(list(of_groups.shape) == wanted, f"qScaleAndZeros is {described(of_groups)}, not {wanted}")
    need(all(x.is_contiguous() for x in (two, of_groups)), "mat2 and qScaleAndZeros are contiguous")


def lstm(given: Given) -> None:
    """The weights and states of each layer and direction fit the input."""
    tensor, layers = given["input"], given["num_layers"]
    ways = 2 if given["bidirectional"] else 1
    params, hx = given["params"], given["hx"]
    need(tensor.dim() == 3 and len(hx) == 2, "an LSTM takes an input of three axes and two states")
    need(0 < layers <= len(params), f"{len(params)} weights for {layers} layers")
    each, left = divmod(len(params), layers * ways)
    projected = hx[0].shape[-1:] != hx[1].shape[-1:]
    fits = not left and each == (4 if given["has_biases"] else 2) + projected
    need(fits, f"{len(params)} weights for {layers} layers")
    batch = tensor.shape[0 if given["batch_first"] else 1]
    for state in hx:
        if state.dim() != 3 or state.shape[:2] != (layers * ways, batch) or state.dtype != tensor.dtype:
            raise Unfit(f"a state is {described(state)}")
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
    need(fits, f"kernel_size={size} is not that of weight: {described(weight)}")


def modes(given: Given) -> None:
    """The numbers of a grid sampler's modes are ones that it has."""
    for name in ("interpolation_mode", "padding_mode"):
        need(0 <= given[name] <= 2, f"{name}={given[name]} is none")


def padding(given: Given) -> None:
    need(all(0 <= size < 1 << 31 for size in given["padding"]), f"padding={list(given['padding'])}")


def window(given: Given) -> None:
    """A pool's only window is no longer than its axis."""
    size = given["self"].shape[-1] if given["self"].dim() else 0
    extents = (given["kernel_size"], given["padding"], given["dilation"])
    (kernel, around, step), *rest = zip(*extents, strict=False)
    need(not rest and step * (kernel - 1) < size + 2 * around, f"a window of {kernel} in an axis of {size}")


def fold(given: Given) -> None:
    """A fold has a column for each place of its window."""
    axes = zip(
        *(given[n] for n in ("output_size", "padding", "dilation", "kernel_size", "stride")), strict=True
    )
    columns = 1
    for size, around, apart, window, step in axes:
        need(min(around, apart - 1, window - 1, step - 1) >= 0, "a fold's window, its steps or its padding")
        columns *= (size + 2 * around - apart * (window - 1) - 1) // step + 1
    tensor = given["self"]
    fits = tensor.dim() > 0 and columns == tensor.shape[-1]
    need(fits, f"self is {described(tensor)}, and a fold has {columns} columns")


def summed(given: Given) -> None:
    """A product of matrices in eight bits sums over something: ATen leaves an empty sum unset."""
    need(given["self"].shape[-1:] != (0,), f"self is {described(given['self'])}, with nothing to sum")


def observed(given: Given) -> None:
    """An observer has an extreme, a scale and a zero for each channel, or makes them of none."""
    tensor, axis = given["self"], given["ch_axis"]
    need(0 <= axis < tensor.dim(), f"ch_axis={axis} is none of {described(tensor)}")
    by_channel = given.get("per_row_fake_quant", False)
    if by_channel and given["running_min"].numel() == 0:
        return
    for name in ("running_min", "running_max", "scale", "zero_point"):
        value = given[name]
        fits = value.numel() == (tensor.shape[axis] if by_channel else 1) and value.is_contiguous()
        need(fits, f"{name} is {described(value)}, and self {described(tensor)}")
