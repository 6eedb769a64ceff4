"""Tensors for samples: seeded, of every dtype, and with the values that make rules wrong."""

from __future__ import annotations

import torch

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
I8, U8, I16, I32, I64, BOOL = torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool
C64, C128 = torch.complex64, torch.complex128
INF, NAN = float("inf"), float("nan")

# Signed zeros, infinities, NaN, halves (which round to even) and large values. No subnormals: engines
# flush them to zero, in the reciprocal of a divisor above 8e37 too (docs/reference/differences.md).
SPECIAL = [0.0, -0.0, INF, -INF, NAN, 1e-30, -0.5, 0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 88.0, -88.0, 8e37]


def floats(*shape: int, low: float = -3.0, high: float = 3.0, dtype: torch.dtype = F32) -> torch.Tensor:
    """Uniform values, the same for the same arguments."""
    generator = torch.Generator().manual_seed(sum(shape) + 7)
    values = torch.rand(shape, generator=generator, dtype=F64) * (high - low) + low
    return values.to(dtype)


def integers(*shape: int, low: int = -9, high: int = 9, dtype: torch.dtype = I64) -> torch.Tensor:
    """Uniform integers in [low, high], the same for the same arguments."""
    generator = torch.Generator().manual_seed(sum(shape) + 11)
    return torch.randint(low, high + 1, shape, generator=generator).to(dtype)


def bools(*shape: int) -> torch.Tensor:
    return integers(*shape, low=0, high=1).to(BOOL)


def complexes(*shape: int, dtype: torch.dtype = C64) -> torch.Tensor:
    part = F32 if dtype is C64 else F64
    return torch.complex(floats(*shape, dtype=part), floats(*shape, 1, dtype=part)[..., 0])


def special(dtype: torch.dtype = F32) -> torch.Tensor:
    """`SPECIAL` in one tensor."""
    return torch.tensor(SPECIAL, dtype=dtype)
