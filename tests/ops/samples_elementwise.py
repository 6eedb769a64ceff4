"""Samples of `elementwise.py`, `blends.py` and `power.py` in `lowering/stablehlo/ops/`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import (
    BF16,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    INF,
    NAN,
    U8,
    bools,
    complexes,
    floats,
    integers,
    special,
)
from tests.ops.driver import Sample

FLOATS = (F32, BF16, F16, F64)
INTEGERS = (I64, I32, U8)


def sample(target: str, *args: Any, **kwargs: Any) -> Sample:
    return Sample(f"aten.{target}", args, kwargs)


def pairs(target: str, *dtypes: torch.dtype, **kwargs: Any) -> list[Sample]:
    """Two tensors of every dtype; the first dtype also broadcast, 0-d and empty."""
    made = []
    for dtype in dtypes:
        if dtype.is_floating_point:
            x, y = floats(4, 6, dtype=dtype), floats(6, 1, 1, dtype=dtype)[:, 0, 0]
        elif dtype is torch.bool:
            x, y = bools(4, 6), bools(6)
        else:
            low = 0 if dtype is U8 else -9
            x, y = integers(4, 6, low=low, dtype=dtype), integers(6, low=1, high=5, dtype=dtype)
        made.append(sample(target, x, y, **kwargs))
    dtype = dtypes[0]
    if dtype.is_floating_point:
        made += [
            sample(target, floats(3, 1, dtype=dtype), floats(2, 1, 4, dtype=dtype), **kwargs),
            sample(target, floats(dtype=dtype), floats(5, dtype=dtype), **kwargs),
            sample(target, floats(0, 3, dtype=dtype), floats(3, dtype=dtype), **kwargs),
        ]
    return made


X, Y, H, B = floats(4, 5), floats(5, low=0.5), floats(9, dtype=F16), floats(9, dtype=BF16)
N, J = integers(7), integers(7, low=1, high=4)
WIDE = special()[:, None]
# Not representable in float16 or vanishing there; eager keeps the second operand of + - * / wide.
TINY = (torch.tensor([60000.0, 2.0, 3.0], dtype=F16), 1e-8)
EVERY = (F32, BF16, F16, F64, I64, I32, I8, U8)

ARITHMETIC = [
    *pairs("add.Tensor", *EVERY, torch.bool),
    *pairs("sub.Tensor", *EVERY),
    *pairs("mul.Tensor", *EVERY, torch.bool),
    *pairs("div.Tensor", *EVERY),
    *pairs("rsub.Tensor", F32, I64),
    *(sample(f"{name}.Tensor", X, X, alpha=2.5) for name in ("add", "sub", "rsub")),
    *(sample(f"{name}.Tensor", N, J, alpha=-3) for name in ("add", "sub", "rsub")),
    *(sample(f"{name}.Tensor", H, H, alpha=1e-3) for name in ("add", "sub")),
    *(sample(f"{name}.Tensor", *TINY) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", TINY[0], torch.tensor(TINY[1])) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", torch.tensor(TINY[1]), TINY[0]) for name in ("mul", "div")),
    *(sample(f"{name}.Tensor", WIDE, special()) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", complexes(5), complexes(4, 1)) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", N, X[0, :1]) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", integers(5, dtype=I32), N[:5]) for name in ("add", "sub", "mul", "div")),
    *(sample(f"{name}.Tensor", N, torch.tensor(2.5, dtype=F64)) for name in ("add", "mul", "div")),
    *(sample(f"{name}.Tensor", B, H) for name in ("add", "mul", "div")),
    *(sample(f"{name}.Scalar", X, 2) for name in ("add", "sub", "mul", "div", "rsub", "true_divide")),
    *(sample(f"{name}.Scalar", N, 2.5) for name in ("add", "sub", "mul", "div", "rsub")),
    *(sample(f"{name}.Scalar", N, 3) for name in ("add", "sub", "mul", "div", "rsub")),
    *(sample(f"{name}.Scalar", X, 2, 0.5) for name in ("add", "sub", "rsub", "subtract")),
    *(sample(f"{name}.Tensor", X, Y) for name in ("subtract", "multiply", "divide", "true_divide")),
    *(sample(f"{name}.Scalar", X, 3) for name in ("multiply", "divide")),
    sample("mul.Tensor", X, 2j),
    sample("mul.Scalar", bools(5), 3),
    sample("add.Tensor", bools(5), 1),
    sample("add.Scalar", integers(5, low=200, high=255, dtype=U8), 300),
    sample("mul.Tensor", torch.tensor([2**62, -(2**63)]), 3),
    sample("_add_relu.Tensor", X, Y),
    sample("_add_relu.Scalar", X, 0.5),
    Sample("aten.add_.Tensor", (X, Y), {"alpha": 2}, functional=True),
    Sample("aten.mul_.Scalar", (B, 0.3), functional=True),
]

DIVISION = [
    *(
        made
        for mode in ("floor", "trunc", None)
        for made in pairs("div.Tensor_mode", F32, BF16, F16, F64, I64, I32, U8, rounding_mode=mode)
    ),
    *(sample("div.Tensor_mode", WIDE, special(), rounding_mode=mode) for mode in ("floor", "trunc")),
    *(sample("div.Scalar_mode", N, -4, rounding_mode=mode) for mode in ("floor", "trunc", None)),
    *(sample("div.Scalar_mode", X, 0.1, rounding_mode=mode) for mode in ("floor", "trunc", None)),
    # Exact, and so only where each rounding step is eager's.
    *(
        Sample(
            "aten.div.Tensor_mode",
            (floats(50, 80, low=-20, high=20, dtype=dtype), divisor),
            {"rounding_mode": mode},
            rtol=0,
            atol=0,
        )
        for mode in ("floor", "trunc")
        for dtype in (F16, BF16)
        for divisor in (floats(80, low=0.1, dtype=dtype), torch.tensor(0.3), 0.3)
    ),
    sample("divide.Tensor_mode", X, Y, rounding_mode="floor"),
    sample("divide.Scalar_mode", X, 2, rounding_mode="floor"),
    sample("div.Tensor_mode", TINY[0], 1e-8, rounding_mode="trunc"),
    *(made for name in ("floor_divide.default",) for made in pairs(name, F32, F16, F64, I64, I32, U8)),
    sample("floor_divide.default", N, -2),
    sample("floor_divide.Scalar", X, 0.3),
    *(
        made
        for name in ("remainder", "fmod")
        # Eager's vectorised fmod gives NaN for quotients that overflow; its scalar one does not.
        for made in [*pairs(f"{name}.Tensor", *EVERY), sample(f"{name}.Tensor", WIDE[:15], special()[6:])]
    ),
    *(sample(f"{name}.Scalar", X, -0.7) for name in ("remainder", "fmod")),
    *(sample(f"{name}.Scalar", N, -4) for name in ("remainder", "fmod")),
    *(sample(f"{name}.Tensor", N, torch.tensor([-3])) for name in ("remainder", "fmod")),
    sample("remainder.Scalar_Tensor", 7, J),
    sample("remainder.Scalar_Tensor", 70000.0, floats(5, low=1, dtype=F16)),
]

POWERS = [
    sample("pow.Tensor_Scalar", floats(4, 5, low=0.1), 1.7),
    *(sample("pow.Tensor_Scalar", special(), power) for power in (0, 0.5, -0.5, 1, 2, 3, -1, -2, 2.5, 4)),
    *(sample("pow.Tensor_Scalar", floats(6, low=0.1, dtype=d), 2.5) for d in (BF16, F16, F64)),
    *(
        sample("pow.Tensor_Scalar", integers(9, dtype=d), power)
        for d in (I64, I32, I8)
        for power in (0, 1, 5, 20)
    ),
    sample("pow.Tensor_Scalar", N, 0.5),
    sample("pow.Tensor_Scalar", N, -1.5),
    sample("pow.Tensor_Scalar", complexes(5), 2),
    sample("pow.Tensor_Scalar", complexes(5), 1.5),
    sample("pow.Tensor_Tensor", floats(4, 5, low=0.1), floats(5)),
    sample("pow.Tensor_Tensor", WIDE, torch.tensor([0.0, -0.0, 1.0, 2.0, 3.0, 0.5, -1.0, INF, -INF, NAN])),
    *(sample("pow.Tensor_Tensor", floats(6, low=0.1, dtype=d), floats(6, dtype=d)) for d in (BF16, F16, F64)),
    sample(
        "pow.Tensor_Tensor", torch.tensor([0, 1, -1, 2, -2, 3, 7]), torch.tensor([-1, -1, -3, -3, -2, 40, 3])
    ),
    sample("pow.Tensor_Tensor", integers(6, dtype=I32), integers(6, low=0, dtype=I32)),
    sample("pow.Tensor_Tensor", integers(6, low=0, dtype=U8), integers(6, low=0, dtype=U8)),
    sample("pow.Tensor_Tensor", N, floats(7)),
    sample("pow.Scalar", 2.0, floats(5)),
    sample("pow.Scalar", 2, N.abs()),
    sample("pow.Scalar", 10000.0, floats(5, dtype=F64)),
    sample("pow.Scalar", -1.5, integers(5)),
    sample("float_power.Tensor_Scalar", floats(5, low=0), 2.5),
    sample("float_power.Tensor_Scalar", N, 2),
    sample("float_power.Tensor_Tensor", floats(5, low=0.1), floats(5)),
    sample("float_power.Scalar", 2, floats(5)),
    sample("ldexp.Tensor", X, integers(5, dtype=I32)),
    sample("ldexp.Tensor", H, torch.tensor(3)),
    sample("ldexp.Tensor", complexes(4), complexes(1, 4)[0]),
    # The power overflows, the result does not; exponents wrap as an int of C.
    *(
        sample("ldexp.Tensor", torch.tensor([0.5, 0.0, 1e-30, -0.0, NAN, INF, 3.0, 1.0], dtype=dtype), by)
        for dtype in (F32, F64, F16, BF16)
        for by in (
            torch.tensor([128, 300, 150, 200, 3, -(2**40), -125, 2**32 + 1]),
            torch.tensor(200, dtype=U8),
        )
    ),
    sample("ldexp.Tensor", floats(4, dtype=F64), torch.tensor([1024, -1020, 2000, -2000])),
    *(
        sample("ldexp.Tensor", x, torch.tensor(0.1, dtype=by))
        for x in (floats(3, dtype=F64), floats(3), complexes(3), floats(dtype=F64))
        for by in (F16, F32)
    ),
]

MINMAX = [
    *(made for name in ("maximum", "minimum") for made in pairs(f"{name}.default", *EVERY, torch.bool)),
    *(made for name in ("fmax", "fmin") for made in pairs(f"{name}.default", F32, BF16, F64, I64)),
    *(sample(f"{name}.default", WIDE, special()) for name in ("maximum", "minimum", "fmax", "fmin")),
    *(sample(f"{name}.default", special(F16)[:, None], special(F16)) for name in ("maximum", "fmin")),
    *(sample(f"{name}.default", N, X[0, :1]) for name in ("maximum", "minimum")),
    *(made for name in ("clamp", "clip") for made in [
        sample(f"{name}.default", X, -1, 0.5), sample(f"{name}.default", X, None, 0.5),
        sample(f"{name}.default", X, 1), sample(f"{name}.default", X, 2, -2),
        sample(f"{name}.Tensor", X, Y, None), sample(f"{name}.Tensor", X, None, Y),
        sample(f"{name}.Tensor", X, Y, 2 * Y),
    ]),
    sample("clamp.default", special(), -1.0, 1.0),
    sample("clamp.default", X, NAN, 1.0),
    sample("clamp.default", N, 0.5, 2),
    sample("clamp.default", N, -2, 3),
    sample("clamp.default", integers(5, low=0, dtype=U8), 2, 5),
    sample("clamp.default", H, -0.1, 0.1),
    sample("clamp.Tensor", special(), torch.tensor([[NAN], [-1.0]]), torch.tensor(1.0)),
    sample("clamp.Tensor", N, torch.tensor(0.5), None),
    sample("clamp.Tensor", X, torch.tensor(-1.0), None),
    sample("clamp_min.default", X, 0.5), sample("clamp_min.default", N, 2), sample("clamp_min.Tensor", X, Y),
    sample("clamp_max.default", X, 0.5), sample("clamp_max.default", B, 1e-3),
    sample("clamp_max.Tensor", X, Y),
]  # fmt: skip

ENDS = torch.tensor([complex(*pair) for pair in (
    (0, 0), (INF, 1), (-INF, 1), (NAN, 1), (1, NAN), (-INF, -2), (INF, -2), (1e30, 3), (50, 1), (-80, 2))
])  # fmt: skip

FUNCTIONS_OF_TWO = [
    *(made for name in ("atan2", "hypot", "logaddexp", "logaddexp2", "arctan2")
      for made in [*pairs(f"{name}.default", *FLOATS), sample(f"{name}.default", WIDE, special())]),
    sample("atan2.default", N, J),
    *pairs("copysign.Tensor", *FLOATS, I64),
    sample("copysign.Tensor", special(), special().flip(0)),
    sample("copysign.Scalar", X, -0.0), sample("copysign.Scalar", N, -1),
    *pairs("nextafter.default", F32, BF16, F64),
    sample("nextafter.default", torch.tensor([1.0, INF, 3e38, NAN]), torch.tensor([2.0, 0.0, INF, 1.0])),
    *(made for name in ("xlogy.Tensor", "special_xlogy.default", "special_xlog1py.default") for made in [
        sample(name, X, Y), sample(name, X.half(), Y.half()), sample(name, N[:5], Y),
        sample(name, torch.tensor([[0.0], [NAN], [1.0]]), torch.tensor([0.0, NAN, -1.0, INF, 2.0])),
    ]),
    sample("xlogy.Scalar_Other", X, 2.0), sample("xlogy.Scalar_Self", 2.0, Y),
    *(sample(f"{name}.other_scalar", X, 2.0) for name in ("special_xlogy", "special_xlog1py")),
    *(sample(f"{name}.self_scalar", 2.0, Y) for name in ("special_xlogy", "special_xlog1py")),
    sample("heaviside.default", torch.tensor([0.0, -0.0, 1.0, -1.0, NAN]), torch.tensor(0.5)),
    sample("heaviside.default", integers(5), integers(5)), sample("heaviside.default", B, B),
    *(made for name in ("gcd", "lcm") for made in [
        sample(f"{name}.default", integers(5, 6, low=-40, high=40), integers(6, low=-12, high=12)),
        sample(f"{name}.default", integers(9, low=0, high=9, dtype=U8), integers(9, low=0, high=4, dtype=U8)),
        sample(f"{name}.default", integers(9, low=-40, high=40, dtype=I32), torch.tensor(6, dtype=I32)),
        sample(f"{name}.default", integers(0), integers(0)),
    ]),
    sample("logaddexp.default", ENDS[:, None], ENDS),
    sample("logaddexp.default", complexes(9), complexes(3, 1)),
]  # fmt: skip

BITWISE = [
    *(made for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
      for made in [*pairs(f"{name}.Tensor", *INTEGERS, torch.bool), sample(f"{name}.Scalar", N, 5),
                   sample(f"{name}.Scalar_Tensor", 5, N), sample(f"{name}.Scalar", bools(5), True)]),
    *(made for name in ("__and__", "__or__", "__xor__")
      for made in [sample(f"{name}.Tensor", N, J), sample(f"{name}.Scalar", N, 6)]),
    *(made for name in ("bitwise_left_shift", "bitwise_right_shift") for made in [
        sample(f"{name}.Tensor", N, torch.tensor([0, 1, 5, 62, 63, 64, -1])),
        sample(f"{name}.Tensor", integers(6, dtype=I32), torch.tensor([0, 1, 31, 32, 40, -1], dtype=I32)),
        sample(f"{name}.Tensor", integers(5, low=9, high=255, dtype=U8), integers(5, low=0, dtype=U8)),
        sample(f"{name}.Tensor", integers(5, dtype=I16), torch.tensor([0, 1, 15, 16, -3], dtype=I16)),
        sample(f"{name}.Tensor_Scalar", N, 2), sample(f"{name}.Scalar_Tensor", 100, J),
    ]),
    *(made for name in ("__lshift__", "__rshift__")
      for made in [sample(f"{name}.Tensor", N, J), sample(f"{name}.Scalar", N, 2)]),
    *(sample(f"logical_{name}.default", a, b) for name in ("and", "or", "xor")
      for a, b in ((bools(4, 5), bools(5)), (integers(5, low=0, high=1), special()[:5]), (B, H))),
]  # fmt: skip

COMPARISONS = [
    made
    for name in ("eq", "ne", "lt", "le", "gt", "ge")
    for made in [
        sample(f"{name}.Tensor", special()[:, None], special()),
        sample(f"{name}.Scalar", X, 0.5),
        sample(f"{name}.Tensor", N, J),
        sample(f"{name}.Tensor", N, floats(7).round()),
        sample(f"{name}.Scalar", torch.tensor([0.1, 0.2], dtype=F16), 0.1),
        sample(f"{name}.Scalar", N, 2.5),
        sample(f"{name}.Scalar", integers(5, low=0, dtype=U8), -1),
        sample(f"{name}.Tensor", bools(5), bools(4, 1)),
        sample(f"{name}.Tensor", B, H),
        sample(f"{name}.Tensor", torch.tensor([0.1], dtype=F32), torch.tensor(0.1, dtype=F64)),
        sample(f"{name}.Tensor", torch.tensor(2**53 + 1), torch.tensor([2**53, 2**53 + 1])),
    ]
] + [sample(f"{name}.Tensor", complexes(5), complexes(4, 5)) for name in ("eq", "ne")]
COMPARISONS += [
    sample(f"{name}.{kind}", special(), other)
    for name in ("not_equal", "less", "less_equal", "greater", "greater_equal")
    for kind, other in (("Tensor", special()[:, None]), ("Scalar", 0.5))
]

THREE = [
    sample("where.self", bools(4, 5), X, Y),
    sample("where.self", bools(5), N[:5], X),
    sample("where.self", bools(4, 1), torch.tensor(1.0), torch.tensor(2)),
    sample("where.self", bools(3, 5), B[:5], torch.tensor(0.3)),
    sample("where.self", integers(5, low=0, high=1).to(U8), X, Y),
    sample("where.self", bools(3), complexes(3), floats(3)),
    sample("where.Scalar", bools(4), 1.5, 2), sample("where.Scalar", bools(4), 1, 2),
    sample("where.ScalarOther", bools(5), X, 0), sample("where.ScalarOther", bools(7), N, 2.5),
    sample("where.ScalarSelf", bools(5), 0, X),
    *(sample("lerp.Tensor", *(floats(*shape, 6, dtype=d) for shape in ((), (2,), (3, 1)))) for d in FLOATS),
    sample("lerp.Tensor", TINY[0] * 0, TINY[0], torch.tensor(1e-8, dtype=F16)),
    *(sample("lerp.Scalar", X, Y, w) for w in (0.25, 0.5, 1, -2.0)), sample("lerp.Scalar", H, -H, 0.3),
    *(sample("lerp.Scalar", floats(40, dtype=d), floats(2, 40, dtype=d), w)
      for d in (F16, BF16) for w in (0.4, 0.7)),
    *(sample(f"{name}.default", floats(6, dtype=d), floats(4, 6, dtype=d), floats(4, 1, low=1).to(d), value=v)
      for name in ("addcmul", "addcdiv") for d in FLOATS for v in (1, 0.5)),
    sample("addcmul.default", N, J, N, value=3),
    sample("addcmul.default", TINY[0] * 0, TINY[0], torch.tensor(1e-8)),
    sample("isclose.default", X, X + 1e-6), sample("isclose.default", special(), special(), equal_nan=True),
    sample("isclose.default", special()[:, None], special()), sample("isclose.default", N, J),
    sample("isclose.default", X, X * 1.01, 0.02, 0.0), sample("isclose.default", B, B * 1.01, 0.0, 0.0),
]  # fmt: skip

SAMPLES: list[Sample] = [
    *ARITHMETIC, *DIVISION, *POWERS, *MINMAX, *FUNCTIONS_OF_TWO, *BITWISE, *COMPARISONS, *THREE,
]  # fmt: skip
