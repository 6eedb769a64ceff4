"""Samples of `lowering/stablehlo/ops/casts.py`."""

from __future__ import annotations

import torch

from tests.ops.data import (
    BF16,
    BOOL,
    C64,
    C128,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    bools,
    complexes,
    floats,
    integers,
    special,
)
from tests.ops.driver import Sample

REAL = (F32, F16, BF16, F64, I64, I32, I16, I8, U8, BOOL)
CPU = torch.device("cpu")


def source(dtype: torch.dtype) -> torch.Tensor:
    """Values that every type can hold, halves and the last of each range among them."""
    if dtype.is_floating_point:
        return torch.tensor([0.0, 0.5, 1.5, 2.5, 99.99, 100.0], dtype=dtype)
    return bools(6) if dtype is BOOL else torch.tensor([0, 1, 2, 50, 99, 127]).to(dtype)


# NaN, infinities, and what integer types cannot hold.
BEYOND = [
    float("nan"), float("inf"), -float("inf"), 3000000001.0, -3000000001.0, 4294967299.0, 1e12 + 7, -1e12 - 7,
    2.0**53 + 2, 2.0**63, -(2.0**63), 2.0**63 + 4096, 2.0**64 - 4096, 1.9e19, 9.3e18, 1e30, -1e30, -65533.0,
    65536.5, 300.0, -300.0, 128.0, -129.0, 255.9, 2147483648.0, -2147483648.0, -5.0, -1.5, -0.5,
]  # fmt: skip
# Of uint32, eager's vector kernels differ from its scalar ones beyond this range.
HELD = [value for value in BEYOND if -(2.0**31) <= value < 2.0**32]
INTEGERS = (I64, I32, I16, I8, U8, torch.uint16, torch.uint64)


def beyond(dtype: torch.dtype, values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=F64).to(dtype)


FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)

SAMPLES: list[Sample] = [
    # First, so that IREE, which runs one sample of each operator, runs one of these.
    Sample("aten._to_copy.default", (beyond(F32, BEYOND),), {"dtype": I32}),
    Sample("aten.to.dtype", (beyond(F64, BEYOND), I64)),
    *(Sample("aten.to.dtype", (beyond(a, BEYOND), b)) for a in (F32, F64, F16, BF16) for b in INTEGERS),
    *(Sample("aten.to.dtype", (beyond(a, HELD), torch.uint32)) for a in (F32, F64, BF16)),
    Sample("aten._cast_Int.default", (beyond(F32, BEYOND),)),
    Sample("aten.copy.default", (integers(len(BEYOND)), beyond(F32, BEYOND))),
    *(Sample("aten.to.dtype", (source(a), b)) for a in REAL for b in REAL),
    *(Sample("aten._to_copy.default", (source(F32),), {"dtype": b}) for b in REAL),
    *(Sample("aten.to.dtype", (complexes(5), b)) for b in (C64, C128)),
    *(Sample("aten.to.dtype", (source(a), C64)) for a in (F32, F16, I64, BOOL)),
    Sample("aten.to.dtype", (complexes(5), BOOL)),
    Sample("aten.to.dtype", (special(), F16)),
    Sample("aten.to.dtype", (special(), BF16)),
    Sample("aten.to.dtype", (special(), BOOL)),
    # Integers wrap around.
    Sample("aten.to.dtype", (torch.tensor([300, -1, 2**31, 2**40 + 5]), U8)),
    Sample("aten.to.dtype", (torch.tensor([300, -1, 2**31, 2**40 + 5]), I32)),
    Sample("aten.to.dtype", (torch.tensor([255, 128, 1], dtype=U8), I8)),
    Sample("aten.to.dtype", (torch.tensor([-2.7, -0.5, 2.7]), I64)),
    Sample("aten.to.dtype", (torch.tensor([2**53 + 1, -(2**62) + 1]), F64)),
    *(
        Sample("aten.to.dtype", (torch.tensor([0.3, -1.0, 300.0, 460.0, 500.0, -1e5, 0.0]), dtype))
        for dtype in FLOAT8
    ),
    *(Sample("aten.to.dtype", (floats(9, dtype=d), dtype)) for d in (BF16, F16) for dtype in FLOAT8),
    *(Sample("aten.to.dtype", (floats(9).to(dtype), F32)) for dtype in FLOAT8),
    Sample("aten.to.dtype", (floats(3, 4), F32, False, True)),
    Sample("aten.to.dtype_layout", (floats(3),), {"dtype": F64, "layout": torch.strided, "device": CPU}),
    Sample("aten.to.device", (floats(3), CPU, F16)),
    Sample("aten.to.other", (floats(3), integers(2))),
    Sample("aten.type_as.default", (integers(3), floats(2, dtype=BF16))),
    Sample("aten._to_copy.default", (floats(3),), {"device": CPU}),
    *(
        Sample(f"aten._cast_{name}.default", (source(F32),))
        for name in ("Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
    ),
    *(
        Sample(f"aten.{name}.default", (value,))
        for name in ("alias", "alias_copy", "clone", "contiguous", "detach", "detach_copy", "lift",
                     "lift_fresh", "lift_fresh_copy", "resolve_conj", "resolve_neg")
        for value in (floats(3, 4), integers(2), bools(3), floats(), floats(0, 2), floats(3, 4).t())
    ),
    Sample("aten.clone.default", (floats(1, 2, 3, 4),), {"memory_format": torch.channels_last}),
    Sample("aten.resolve_conj.default", (complexes(3).conj(),)),
    Sample("aten.copy.default", (floats(3, 4), floats(3, 4))),
    Sample("aten.copy.default", (integers(3, 4), floats(4, low=0, high=99))),
    Sample("aten.copy.default", (floats(2, 3, dtype=BF16), floats())),
    Sample("aten.copy_.default", (floats(3, 4), integers(4)), functional=True),
]  # fmt: skip
