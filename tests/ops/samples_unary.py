"""Samples of `lowering/stablehlo/ops/unary.py`."""

from __future__ import annotations

import torch

from tests.ops.data import (
    BF16,
    C64,
    F16,
    F32,
    F64,
    I8,
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
)  # fmt: skip
from tests.ops.driver import Sample

# Functions of floats -> the open interval where they are defined and tame.
DOMAINS = {
    "acos": (-1, 1),
    "acosh": (1, 9),
    "asin": (-1, 1),
    "asinh": (-9, 9),
    "atan": (-9, 9),
    "atanh": (-1, 1),
    "cos": (-9, 9),
    "cosh": (-5, 5),
    "deg2rad": (-360, 360),
    "digamma": (0.3, 9),
    "erf": (-3, 3),
    "erfc": (-3, 5),
    "erfinv": (-1, 1),
    "exp": (-5, 5),
    "exp2": (-20, 20),
    "expm1": (-1, 1),
    "lgamma": (0.2, 9),
    "log": (0, 9),
    "log10": (0, 2000),
    "log1p": (-1, 1),
    "log2": (0, 70),
    "rad2deg": (-3, 3),
    "reciprocal": (-3, 3),
    "rsqrt": (0, 9),
    "sigmoid": (-9, 9),
    "sin": (-9, 9),
    "sinc": (-3, 3),
    "sinh": (-5, 5),
    "sqrt": (0, 9),
    "tan": (-1.5, 1.5),
    "tanh": (-3, 3),
}

# At infinities and NaN eager's own kernels and the engines' follow C99 alike.
SPECIAL_TOO = [name for name in DOMAINS if name not in ("digamma", "lgamma", "sin", "cos", "tan", "sinc")]

# A function -> torch's second names for it.
ALIASES = {
    "acos": ("arccos",),
    "acosh": ("arccosh",),
    "asin": ("arcsin",),
    "asinh": ("arcsinh",),
    "atan": ("arctan",),
    "atanh": ("arctanh",),
    "digamma": ("special_digamma", "special_psi"),
    "erf": ("special_erf",),
    "erfc": ("special_erfc",),
    "erfinv": ("special_erfinv",),
    "exp2": ("special_exp2",),
    "expm1": ("special_expm1",),
    "lgamma": ("special_gammaln",),
    "log1p": ("special_log1p",),
    "sigmoid": ("special_expit",),
    "sinc": ("special_sinc",),
}


def sample(name: str, *args: object, **kwargs: object) -> Sample:
    return Sample(f"aten.{name}.default", args, kwargs)


def _domain(name: str) -> list[Sample]:
    low, high = DOMAINS[name]
    found = [sample(name, floats(7, 5, low=low, high=high))]
    found += [sample(name, floats(13, low=low, high=high, dtype=dtype)) for dtype in (BF16, F16, F64)]
    found.append(sample(name, integers(5, low=1, high=1 if high == 1 else 2, dtype=I32)))
    found.append(sample(name, floats(low=low, high=high)))
    if name in SPECIAL_TOO:
        found.append(sample(name, special()))
    return found


# Exact at powers: eager's log2(8) is 3, and floor(log2(x)) must not fall below.
EXACT = [
    Sample("aten.log2.default", (2.0 ** torch.arange(-126, 128).to(F32),), rtol=0, atol=0),
    Sample("aten.exp2.default", (torch.arange(-126, 130).to(F32),), rtol=0, atol=0),
    Sample("aten.exp2.default", (torch.arange(-1022, 1030, 7).to(F64),), rtol=0, atol=0),
    Sample("aten.log2.default", (2.0 ** torch.arange(-1022, 1024, 5).to(F64),), rtol=0, atol=0),
    Sample("aten.log10.default", (10.0 ** torch.arange(11).to(F64).to(F32),)),
    *(
        Sample("aten.tanh.default", (floats(60, low=-most, high=most, dtype=F64),), rtol=1e-15, atol=0)
        for most in (1e-6, 3)
    ),
    # As many as fill wide registers.
    *(Sample("aten.atan.default", (floats(400, low=-90, high=90, dtype=dtype),)) for dtype in (F32, F64)),
]

IN_COMPLEX = (
    "abs neg sgn exp log sqrt sin cos tanh reciprocal square sigmoid exp2 log2 log10 isnan isinf isfinite "
    "isreal rsqrt expm1 log1p tan sinh cosh asinh acosh atanh asin acos atan nan_to_num logical_not"
)
COMPLEX = [sample(name, complexes(9)) for name in IN_COMPLEX.split()]

ROUNDING = [
    made
    for name in ("ceil", "fix", "floor", "frac", "round", "trunc")
    for made in (
        [sample(name, floats(4, 3)), sample(name, special()), sample(name, floats(9, dtype=BF16))]
        + [sample(name, floats(9, high=70, dtype=F16)), sample(name, floats(9, dtype=F64))]
        + ([] if name == "frac" else [sample(name, integers(4))])
    )
]

NATIVE = [
    made
    for name in ("abs", "neg", "sgn", "sign", "square")
    for made in [
        sample(name, floats(4, 3)),
        sample(name, special()),
        *(sample(name, floats(9, dtype=dtype)) for dtype in (BF16, F16, F64)),
        *(sample(name, integers(9, dtype=dtype)) for dtype in (I64, I32, I8, U8)),
    ]
]

TESTS_OF_FLOATS = [
    made
    for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit", "isreal", "logical_not")
    for made in [
        sample(name, special()),
        *(sample(name, special(dtype)) for dtype in (BF16, F16, F64)),
        sample(name, integers(5)),
        sample(name, integers(5, low=0, dtype=U8)),
        sample(name, bools(5)),
    ]
]

# Both sides of the cuts, which the sign of a zero says.
CUTS = torch.tensor([complex(a, b) for a in (-4.0, -0.0, 0.0, 4.0) for b in (0.0, -0.0, 4.0, -4.0)])

SAMPLES: list[Sample] = [
    *(sample(name, CUTS) for name in ("sqrt", "log", "asin", "acos", "atan", "acosh", "asinh", "atanh")),
    *(made for name in DOMAINS for made in _domain(name)),
    *(
        sample(alias, floats(6, low=DOMAINS[name][0], high=DOMAINS[name][1]))
        for name, aliases in ALIASES.items()
        for alias in aliases
    ),
    *EXACT,
    *ROUNDING,
    *NATIVE,
    *TESTS_OF_FLOATS,
    *COMPLEX,
    *(sample(name, special()) for name in ("absolute", "negative", "positive")),
    sample("sign", bools(5)),
    sample("sgn", torch.zeros(3, dtype=C64)),
    *(sample("bitwise_not", integers(6, dtype=dtype)) for dtype in (I64, I32, U8)),
    sample("bitwise_not", bools(6)),
    *(
        Sample("aten.round.decimals", (floats(9, low=-900, high=900, dtype=dtype),), {"decimals": places})
        for places in (2, -1, 0, -2)
        for dtype in (F32, F64, BF16, F16)
    ),
    Sample("aten.special_round.default", (floats(9),), {"decimals": 1}),
    *(sample(name, floats(9, low=0, high=1)) for name in ("logit", "special_logit")),
    sample("logit", floats(9, low=-1, high=2), 0.1),
    sample("logit", floats(9, low=0, high=1, dtype=F16), 1e-3),
    sample("logit", torch.tensor([0.0, 1.0, -0.5, NAN])),
    sample("logit", integers(3, low=0, high=1)),
    sample("nan_to_num", special()),
    *(sample("nan_to_num", special(dtype)) for dtype in (BF16, F16, F64)),
    sample("nan_to_num", special(), 1.5, 2.5, -3.5),
    sample("nan_to_num", torch.tensor([complex(NAN, INF), complex(-INF, 1)])),
    sample("nan_to_num", integers(3)),
    sample("sqrt", floats(0, 3)),
    Sample("aten.frexp.Tensor", (torch.tensor([0.0, -0.0, 1.0, -6.5, 0.3, 3e38, -INF, NAN]),)),
    Sample("aten.frexp.Tensor", (torch.tensor([0.0, 1.0, -6.5, 1e300], dtype=F64),)),
    Sample("aten.frexp.Tensor", (torch.tensor([0.0, 1.0, -6.5, 6e-8, 60000.0], dtype=F16),)),
    Sample("aten.tanh_.default", (floats(5),), functional=True),
]
