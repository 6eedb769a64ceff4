"""torchao's operators: its own where it is installed, else the arithmetic of its release 0.18.

Rules need no torchao; to compare with eager there must be something to call.
"""

from __future__ import annotations

import importlib
import importlib.util

import torch

from lowering.ir.aten import targets

SCHEMAS = importlib.import_module("third_party.generate_aten_table").OF_PACKAGES


def register() -> None:
    """Have torch know them, however often this is called."""
    if _KEPT:
        return
    if importlib.util.find_spec("torchao") is not None:
        importlib.import_module("torchao.quantization.quant_primitives")
        return
    library = torch.library.Library("torchao", "FRAGMENT")
    for target in targets("torchao"):
        name = target.split(".")[1]
        library.define(name + SCHEMAS[target])
        library.impl(name, globals()[name], "CompositeExplicitAutograd")
    _KEPT.append(library)


# A library that nothing holds takes its operators with it.
_KEPT: list[torch.library.Library] = []


def parted(block, x):
    """The tensor with each axis as blocks and what lies in one; the axes within; the shape of parameters."""
    pairs = [(size // part, part) for part, size in zip(block, x.shape, strict=True)]
    within = [2 * axis + 1 for axis, part in enumerate(block) if part > 1]
    return x.reshape([n for pair in pairs for n in pair]), within, [n for c, _ in pairs for n in (c, 1)]


def bounds(dtype, low, high):
    info = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    return info.min if low is None else low, info.max if high is None else high


def quantize_affine(x, block, scale, zero, dtype, low=None, high=None):
    parts, _, ones = parted(block, x)
    places = torch.round(parts * (1.0 / scale.reshape(ones))) + zero.reshape(ones)
    return places.clamp(*bounds(dtype, low, high)).reshape(x.shape).to(dtype)


def dequantize_affine(x, block, scale, zero, dtype, low=None, high=None, out=torch.float32):
    parts, _, ones = parted(block, x)
    numbers = parts.to(out)
    if zero is not None:
        numbers = numbers - zero.reshape(ones).to(out)
    return (numbers * scale.reshape(ones)).reshape(x.shape).to(out)


def choose_qparams_affine(
    x, mapping, block, dtype, low=None, high=None, eps=None, scale_dtype=None, zero_dtype=None, keepdim=False
):
    low, high = bounds(dtype, low, high)
    parts, within, _ = parted(block, x)
    least = parts.amin(within, keepdim=True).clamp(max=0)
    greatest = parts.amax(within, keepdim=True).clamp(min=0)
    eps = torch.finfo(x.dtype).smallest_normal if eps is None else eps
    if mapping == "ASYMMETRIC":
        scale = ((greatest - least) / float(high - low)).clamp(min=eps)
        zero = (low - torch.round(least / scale)).clamp(low, high)
        zero_dtype = zero_dtype or torch.int32
    else:
        if mapping == "SYMMETRIC":
            scale = torch.max(-least, greatest) / (float(high - low) / 2)
        else:
            scale = torch.max(least / float(low), greatest / float(high))
        zero = torch.full_like(scale, int((high + low + 1) / 2))
        scale = scale.clamp(min=eps)
    shape = [n // part for part, n in zip(block, x.shape, strict=True)]
    if not keepdim:
        shape = [n // part for part, n in zip(block, x.shape, strict=True) if part != n or part == 1]
    return scale.reshape(shape).to(scale_dtype or x.dtype), zero.reshape(shape).to(zero_dtype or zero.dtype)


def choose_scale_float8(x, block, dtype=torch.float8_e4m3fn, scale_dtype=torch.float32, low=None, high=None):
    parts, within, _ = parted(block, x)
    size = parts.abs().amax(within, keepdim=True)
    if low is not None or high is not None:
        size = size.clamp(low, high)
    scale = (size / torch.finfo(dtype).max).reshape([n // p for p, n in zip(block, x.shape, strict=True)])
    if scale_dtype is not torch.float32:
        scale = torch.exp2(torch.round(torch.log2(scale)))
    return scale.to(torch.float32)


def stretched(scale, x):
    if scale.numel() == 1 or scale.shape == x.shape:
        return scale
    for axis, (count, size) in enumerate(zip(scale.shape, x.shape, strict=True)):
        scale = scale.repeat_interleave(size // count, axis)
    return scale


def quantize_affine_float8_non_decomposed(x, scale, dtype=torch.float8_e4m3fn):
    greatest = torch.finfo(dtype).max
    return (x.to(torch.float32) / stretched(scale, x)).clamp(-greatest, greatest).to(dtype)


def dequantize_affine_float8_non_decomposed(x, scale, out=torch.float32):
    return (x.to(torch.float32) * stretched(scale, x)).to(out)
