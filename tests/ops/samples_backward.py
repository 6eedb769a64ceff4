"""Calls of the gradients in training graphs."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F16, F32, F64, floats, integers
from tests.ops.driver import Sample, operator

DTYPES = (F32, F64, BF16, F16)


def _call(name: str, *args: Any, atol: float | None = None, **kwargs: Any) -> Sample:
    rtol = None if atol is None else 0.0
    return Sample(f"aten.{name}_backward.default", args, kwargs, rtol, atol)


def _forward(name: str, *args: Any, **kwargs: Any) -> Any:
    return operator(f"aten.{name}.default")(*args, **kwargs)


def _t(*shape: int, dtype: torch.dtype = F32, salt: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape) + salt)
    return torch.randn(shape, generator=generator, dtype=F64).to(dtype)


# ------------------------------------------------------------------------------ normalisation


def _layer_norm(
    shape: tuple[int, ...], axes: int, dtype: torch.dtype = F32, affine: bool = True, mixed: bool = False,
    mask: tuple[bool, bool, bool] = (True, True, True),
) -> Sample:  # fmt: skip
    x, sizes = _t(*shape, dtype=dtype), shape[len(shape) - axes :]
    parameters = F32 if mixed else dtype
    weight, bias = (_t(*sizes, dtype=parameters, salt=s) if affine else None for s in (1, 2))
    _, mean, rstd = torch.native_layer_norm(x, sizes, weight, bias, 1e-5)
    grad = _t(*shape, dtype=dtype, salt=3)
    # Eager's sums of halves depend on the number of threads: it rounds the parameters' gradients, which are
    # up to 8 here, at every row that a thread adds.
    atol = {BF16: 0.06, F16: 0.008}.get(dtype) if affine else None
    return _call("native_layer_norm", grad, x, list(sizes), mean, rstd, weight, bias, list(mask), atol=atol)


def _group_norm(
    shape: tuple[int, ...], groups: int, dtype: torch.dtype = F32, affine: bool = True,
    mask: tuple[bool, bool, bool] = (True, True, True),
) -> Sample:  # fmt: skip
    x, (n, c, *space) = _t(*shape, dtype=dtype), shape
    weight, bias = (_t(c, dtype=dtype, salt=s) if affine else None for s in (1, 2))
    room = int(torch.Size(space).numel())
    _, mean, rstd = torch.native_group_norm(x, weight, bias, n, c, room, groups, 1e-5)
    grad = _t(*shape, dtype=dtype, salt=3)
    return _call("native_group_norm", grad, x, mean, rstd, weight, n, c, room, groups, list(mask))


NORMS = [
    *(_layer_norm((4, 3, 8), 1, dtype) for dtype in DTYPES),
    _layer_norm((4, 3, 8), 2),
    _layer_norm((4, 3, 8), 3),
    _layer_norm((4, 8), 1, affine=False, mask=(True, False, False)),
    _layer_norm((4, 8), 1, mask=(False, True, False)),
    _layer_norm((4, 8), 1, mask=(True, False, True)),
    _layer_norm((4, 8), 1, BF16, mixed=True),
    *(_group_norm((2, 6, 5, 3), 3, dtype) for dtype in DTYPES),
    _group_norm((2, 6, 5), 1),
    _group_norm((2, 24), 3),
    _group_norm((2, 6, 2, 2, 2), 2, mask=(False, True, True)),
    _group_norm((2, 6, 4), 2, affine=False, mask=(True, False, False)),
    _group_norm((2, 6, 4), 2, mask=(True, False, True)),
]

# ------------------------------------------------------------------------------ convolution


def _convolution(
    x: tuple[int, ...], weight: tuple[int, ...], dtype: torch.dtype = F32, stride: int = 1, padding: int = 0,
    dilation: int = 1, transposed: bool = False, output_padding: int = 0, groups: int = 1,
    mask: tuple[bool, bool, bool] = (True, True, True),
) -> Sample:  # fmt: skip
    axes = len(x) - 2
    input, kernel = _t(*x, dtype=dtype), _t(*weight, dtype=dtype, salt=1)
    spatial = ([stride] * axes, [padding] * axes, [dilation] * axes, transposed, [output_padding] * axes)
    result = torch.convolution(input, kernel, None, *spatial, groups)
    grad = _t(*result.shape, dtype=dtype, salt=2)
    return _call("convolution", grad, input, kernel, [result.shape[1]], *spatial, groups, list(mask))


CONVOLUTIONS = [
    *(_convolution((2, 4, 9, 8), (6, 4, 3, 3), dtype, padding=1) for dtype in (F32, F64, BF16)),
    _convolution((2, 4, 9), (6, 4, 3)),
    _convolution((2, 4, 5, 6, 4), (6, 2, 3, 3, 2), padding=1, groups=2),
    # The last window does not reach the end.
    _convolution((2, 4, 10, 8), (6, 4, 3, 3), stride=3),
    _convolution((2, 4, 10, 9), (6, 4, 3, 3), stride=2, padding=2, dilation=2),
    _convolution((2, 4, 11), (4, 1, 4), stride=3, padding=1, groups=4),
    _convolution((2, 4, 9, 8), (6, 2, 1, 1), stride=2, groups=2),
    _convolution((2, 4, 5, 6), (4, 6, 3, 3), transposed=True),
    _convolution((2, 4, 5, 6), (4, 3, 3, 2), F32, 2, 1, transposed=True, output_padding=1, groups=2),
    _convolution((2, 4, 5), (4, 3, 3), F64, stride=3, dilation=2, padding=1, transposed=True),
    _convolution((2, 4, 5, 6), (4, 6, 3, 3), BF16, stride=2, transposed=True),
    _convolution((2, 4, 9), (6, 4, 3), mask=(True, False, False)),
    _convolution((2, 4, 9), (6, 4, 3), mask=(False, True, False)),
    _convolution((2, 4, 9, 8), (6, 4, 3, 3), mask=(False, True, True)),
    _convolution((0, 4, 9), (6, 4, 3)),
]

# ------------------------------------------------------------------------------ embedding, attention

ROWS = integers(4, 5, low=0, high=6)


def _attention(
    causal: bool = False, mask: torch.Tensor | None = None, scale: float | None = None,
    dtype: torch.dtype = F32, keys: int = 7,
) -> Sample:  # fmt: skip
    q, k, v = (_t(2, 3, n, 8, dtype=dtype, salt=s) for n, s in ((5, 1), (keys, 2), (keys, 3)))
    kwargs = {"attn_mask": mask, "scale": scale}
    name = "_scaled_dot_product_flash_attention_for_cpu"
    out, log_sums = _forward(name, q, k, v, 0.0, causal, **kwargs)
    grad = _t(2, 3, 5, 8, dtype=dtype, salt=4)
    return _call(name, grad, q, k, v, out, log_sums, 0.0, causal, **kwargs)


OTHERS = [
    *(_call("embedding_dense", _t(4, 5, 3, dtype=dtype), ROWS, 7, -1, False) for dtype in DTYPES),
    _call("embedding_dense", _t(4, 5, 3), ROWS, 7, 2, False),
    _call("embedding_dense", _t(4, 5, 3), ROWS.to(torch.int32), 7, 2, True),
    _call("embedding_dense", _t(4, 5, 3, dtype=F64), ROWS, 9, -1, True),
    _call("embedding_dense", _t(5, 3), ROWS[0], 7, 0, False),
    _call("embedding_dense", _t(3), torch.tensor(2), 7, -1, False),
    _call("embedding_dense", _t(0, 3), torch.zeros(0, dtype=torch.int64), 7, -1, False),
    _attention(),
    _attention(dtype=F64),
    _attention(dtype=BF16),
    _attention(causal=True, keys=5),
    _attention(scale=0.5, mask=floats(2, 1, 5, 7)),
]

# ------------------------------------------------------------------------------ poolings

X1, X2, X3 = (2, 3, 11), (2, 3, 10, 9), (1, 2, 6, 7, 5)


def _max_pool(
    shape: tuple[int, ...], *args: Any, axes: int = 2, dtype: torch.dtype = F32, ceil: bool = False
) -> Sample:
    x, rest = _t(*shape, dtype=dtype), (*args, ceil)
    values, indices = _forward(f"max_pool{axes}d_with_indices", x, *rest)
    grad = _t(*values.shape, dtype=dtype, salt=1)
    return _call(f"max_pool{axes}d_with_indices", grad, x, *rest, indices)


def _avg_pool(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, ceil: bool = False, include: bool = True,
    divisor: int | None = None, axes: int = 2, dtype: torch.dtype = F32,
) -> Sample:  # fmt: skip
    x, rest = _t(*shape, dtype=dtype), (kernel, stride, padding, ceil, include, divisor)
    result = _forward(f"avg_pool{axes}d", x, *rest)
    return _call(f"avg_pool{axes}d", _t(*result.shape, dtype=dtype, salt=1), x, *rest)


def _adaptive(kind: str, shape: tuple[int, ...], out: tuple[int, ...], dtype: torch.dtype = F32) -> Sample:
    x, axes = _t(*shape, dtype=dtype), len(out)
    if kind == "max":
        values, indices = _forward(f"adaptive_max_pool{axes}d", x, out)
        return _call(f"adaptive_max_pool{axes}d", _t(*values.shape, dtype=dtype, salt=1), x, indices)
    grad = _t(*shape[: len(shape) - axes], *out, dtype=dtype, salt=1)
    return _call(f"_adaptive_avg_pool{axes}d", grad, x)


POOLINGS = [
    *(_max_pool(X2, [3, 2], [2, 2], [1, 0], [1, 1], dtype=dtype) for dtype in DTYPES),
    _max_pool(X2, [3], [], [1], [1]),
    _max_pool(X2[1:], [2, 2], [1, 1], [0], [2], ceil=True),
    _max_pool(X3, [2, 3, 2], [1, 2, 2], [1, 1, 0], [1], axes=3),
    *(_avg_pool(X2, [2, 3], [2, 3], [0, 0], dtype=dtype) for dtype in DTYPES),
    *(_avg_pool(X2, [3, 2], [2, 1], [1, 1], dtype=dtype) for dtype in (F32, F64)),
    _avg_pool(X2, [3, 2], [], [1, 1], ceil=True),
    _avg_pool(X2, [3, 3], [2, 2], [1, 1], ceil=True, include=False),
    _avg_pool(X2, [3, 3], [4, 4], [0, 0]),
    _avg_pool(X2[1:], [3], [2], [0], divisor=5),
    _avg_pool(X3, [2, 3, 2], [1, 2, 2], [1, 1, 0], axes=3),
    _avg_pool(X3, [3, 3, 2], [2, 2, 2], [1, 1, 1], ceil=True, include=False, axes=3),
    *(_adaptive("avg", X2, (5, 3), dtype) for dtype in DTYPES),
    *(_adaptive("avg", X2, (4, 2), dtype) for dtype in (F32, F64)),
    *(_adaptive("avg", X2, (1, 1), dtype) for dtype in DTYPES),
    _adaptive("avg", X2[1:], (13, 4)),
    _adaptive("avg", X3, (4, 3, 2)),
    _adaptive("max", X2, (4, 2)),
    _adaptive("max", X2, (5, 3), BF16),
    _adaptive("max", X3, (4, 3, 2)),
]

# ------------------------------------------------------------------------------ resizing, padding


def _resize(
    name: str, sizes: tuple[int, ...], out: tuple[int, ...], *args: Any, dtype: torch.dtype = F32
) -> Sample:
    shape = [2, 3, *sizes]
    return _call(name, _t(2, 3, *out, dtype=dtype), list(out), shape, *args)


RESIZED = [
    *(
        _resize(name, sizes, out, *args, dtype=dtype)
        for dtype in DTYPES
        for sizes, out in (((5, 4), (8, 12)), ((8, 9), (5, 4)), ((4, 3), (8, 6)))
        for name, *args in (
            ("upsample_nearest2d",),
            ("_upsample_nearest_exact2d",),
            ("upsample_bilinear2d", False),
            ("upsample_bilinear2d", True),
            ("upsample_bicubic2d", False),
            ("upsample_bicubic2d", True),
            ("_upsample_bilinear2d_aa", False),
            ("_upsample_bicubic2d_aa", True),
        )
        # Eager has no antialiased kernels for halves, and rounds halves with each cubic term.
        if dtype in (F32, F64) or not ("cubic" in name or "aa" in name)
    ),
    _resize("upsample_bilinear2d", (5, 4), (8, 6), False, 1.7, 1.6),
    _resize("upsample_nearest2d", (5, 4), (8, 6), 1.7, 1.6),
    _resize("upsample_nearest1d", (5,), (8,)),
    _resize("_upsample_nearest_exact1d", (5,), (3,)),
    _resize("upsample_nearest3d", (5, 3, 2), (8, 3, 5)),
    _resize("_upsample_nearest_exact3d", (5, 3, 2), (8, 3, 5)),
    _resize("upsample_linear1d", (5,), (8,), False),
    _resize("upsample_trilinear3d", (5, 3, 2), (8, 3, 5), True),
]

PADDED = [
    _call(f"{kind}_pad{axes}d", _t(2, 3, *out, dtype=dtype), _t(2, 3, *sizes, dtype=dtype), padding)
    for kind in ("replication", "reflection")
    for axes, sizes, out, padding in (
        (1, (5,), (8,), [1, 2]),
        (2, (5, 4), (10, 6), [2, 0, 1, 4]),
        (3, (3, 4, 3), (5, 6, 6), [2, 1, 1, 1, 0, 2]),
    )
    for dtype in ((F32, F64, BF16) if (kind, axes) == ("reflection", 1) else (F32, F64))
]

SAMPLES = [*NORMS, *CONVOLUTIONS, *OTHERS, *POOLINGS, *RESIZED, *PADDED]
