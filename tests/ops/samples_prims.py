"""Samples of `lowering/stablehlo/ops/prims.py`."""

from __future__ import annotations

import importlib

import torch

from lowering.stablehlo.ops.prims import BINARY, UNARY
from tests.ops.data import (
    BF16,
    BOOL,
    C64,
    F16,
    F32,
    F64,
    I32,
    I64,
    bools,
    complexes,
    floats,
    integers,
    special,
)
from tests.ops.driver import Sample

# torch registers `prims.fma` only with its compiler.
importlib.import_module("torch._inductor.inductor_prims")

CPU = torch.device("cpu")
NEW = {"device": CPU, "requires_grad": False}

POSITIVE = floats(3, 4, low=1.1, high=3.0)
INSIDE = floats(3, 4, low=-0.9, high=0.9)
# Where a function has no value, or another accuracy, elsewhere; in the others any numbers are fine.
DOMAINS = {
    **dict.fromkeys(("acosh", "lgamma", "digamma"), POSITIVE),
    **dict.fromkeys(("log", "log10", "log1p", "log2", "rsqrt", "sqrt"), POSITIVE),
    **dict.fromkeys(("acos", "asin", "atanh", "erf_inv", "tan"), INSIDE),
    "ndtri": floats(3, 4, low=0.05, high=0.95),
    "bitwise_not": integers(3, 4),
    **dict.fromkeys(("conj", "conj_physical", "imag", "real"), complexes(3, 4)),
}
WHOLE = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "shift_left", "shift_right_arithmetic"})
ABOVE_ZERO = frozenset({"pow", "igamma", "igammac", "zeta"})
NO_HALVES = frozenset({"gcd", "igamma", "igammac", "zeta", "nextafter", "erf_inv", "ndtri"})

A, B = floats(3, 4), floats(3, 4, low=0.5, high=2.5)


def operands(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    if name in WHOLE:
        return integers(3, 4, low=0, high=60), integers(3, 4, low=1, high=5)
    return (POSITIVE if name in ABOVE_ZERO else A), (POSITIVE + 0.5 if name in ABOVE_ZERO else B)


SAMPLES = [
    *(Sample(f"prims.{name}.default", (DOMAINS.get(name, A),)) for name in UNARY),
    *(
        Sample(f"prims.{name}.default", (DOMAINS.get(name, A).to(BF16),))
        for name in ("abs", "exp", "neg", "reciprocal", "round", "sqrt", "tanh")
    ),
    *(
        Sample(f"prims.{name}.default", (special(),))
        for name in ("abs", "ceil", "isfinite", "neg", "sign", "signbit", "trunc")
    ),
    *(Sample(f"prims.{name}.default", operands(name)) for name in BINARY),
    *(
        Sample(f"prims.{name}.default", (A.to(F16), B.to(F16)))
        for name in ("add", "div", "maximum", "mul", "sub")
    ),
    Sample("prims.mul.default", (A, 2.5)),
    Sample("prims.div.default", (A, B)),
    Sample("prims.div.default", (integers(3, 4), integers(3, 4, low=1, high=4))),
    Sample("prims.cbrt.default", (A,)),
    *(Sample("prims.fma.default", (A.to(t), B.to(t), A.to(t))) for t in (F32, F16, BF16)),
    Sample("prims.where.default", (bools(3, 4), A, B)),
    Sample("prims.view_of.default", (A,)),
    Sample("prims.clone.default", (A,), {"memory_format": torch.contiguous_format}),
    Sample("prims.device_put.default", (A, CPU)),
    Sample("prims.copy_strided.default", (A, (1, 3))),
    *(
        Sample("prims.convert_element_type.default", (A, t))
        for t in (F64, BF16, I32, BOOL, C64, torch.float8_e4m3fn)
    ),
    Sample("prims.view_of_dtype.default", (A, I32)),
    Sample("prims.copy_to.default", (A.double(), B), functional=True),
    Sample("prims.reshape.default", (A, (2, 6))),
    Sample("prims.collapse.default", (floats(2, 3, 4), 0, 1)),
    Sample("prims.collapse.default", (floats(2, 3, 4), 1, 1)),
    Sample("prims.collapse_view.default", (floats(2, 3, 4), 1, 2)),
    Sample("prims.split_dim.default", (floats(3, 8), 1, 2)),
    Sample("prims.squeeze.default", (floats(1, 3, 1, 2), (0, 2))),
    Sample("prims.broadcast_in_dim.default", (floats(3), (2, 3, 4), (1,))),
    Sample("prims.broadcast_in_dim.default", (floats(3, 1), (2, 3, 4), (1, 2))),
    Sample("prims.broadcast_in_dim.default", (torch.tensor(2.0), (2, 3), ())),
    Sample("prims.transpose.default", (floats(2, 3, 4), (2, 0, 1))),
    Sample("prims.rev.default", (floats(2, 3, 4), (0, 2))),
    Sample("prims.cat.default", ([A, B[:1]], 0)),
    Sample("prims.as_strided.default", (A, (2, 3), (1, 2), 1)),
    Sample("prims.as_strided_scatter.default", (A, floats(2, 3), (2, 3), (1, 2), 1)),
    *(
        Sample(f"prims.{name}.default", (floats(2, 3, 4), dims))
        for name in ("amax", "amin", "sum", "prod")
        for dims in ((1,), (0, 2))
    ),
    *(Sample("prims.var.default", (floats(2, 3, 4), dims, 1.0)) for dims in ((1,), (0, 2))),
    *(Sample(f"prims.{name}.default", (floats(2, 30).to(BF16), (1,))) for name in ("sum", "prod")),
    Sample("prims.var.default", (floats(2, 30).to(BF16), (1,), 1.0)),
    Sample("prims.sum.default", (integers(2, 3), (0,))),
    Sample("prims.prod.default", (integers(2, 3), (0,))),
    Sample("prims.sum.default", (torch.tensor(3.0), ())),
    Sample("prims.var.default", (floats(2, 3), (1,), 0.0)),
    Sample("prims.full.default", ((2, 3), 1.5), {"dtype": F32, **NEW}),
    Sample("prims.full.default", ((2, 3), 7), {"dtype": I64, **NEW}),
    Sample("prims.full_like.default", (A, 2), {"dtype": I32, **NEW}),
    Sample("prims.fill.default", (A, 0.25)),
    Sample("prims.scalar_tensor.default", (2.5,), {"dtype": F32, "device": CPU}),
    Sample("prims.iota.default", (5,), {"start": 2, "step": 3, "dtype": I64, **NEW}),
    Sample("prims.iota.default", (4,), {"start": 9, "step": -2, "dtype": I32, **NEW}),
    Sample("prims.empty.default", ((0, 3),), {"dtype": F32, **NEW}),
    Sample("prims.empty_strided.default", ((0, 3), (3, 1)), {"dtype": F32, **NEW}),
    Sample("prims.empty_permuted.default", ((0, 3), (1, 0)), {"dtype": F32, **NEW}),
    Sample("prims.fft_r2c.default", (floats(3, 8),), {"dim": (0, 1), "onesided": True}),
    Sample("prims.fft_r2c.default", (floats(3, 8),), {"dim": (1,), "onesided": False}),
    Sample("prims.fft_c2c.default", (complexes(3, 4),), {"dim": (1,), "forward": False}),
    Sample("prims.fft_c2r.default", (complexes(3, 5),), {"dim": (1,), "last_dim_size": 8}),
]
