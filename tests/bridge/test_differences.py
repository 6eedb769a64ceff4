"""The table of differences to eager: each row shows, on its engines alone; what is in no row is equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import bridge
from lowering.host.processor import processor

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"
INF, NAN = float("inf"), float("nan")
TINY = torch.tensor([1e-40, -1e-40, 1e-45, 1.2e-38, 0.0, -0.0, 1.0, NAN])
EDGES = torch.tensor([0.0, -0.0, INF, -INF, NAN, 1e-30, -1e-30, 1e37, -1e37, 0.5, 1.5, 2.5, -2.5, 1.0, -1.0])
ROWS = torch.tensor(
    [[1.0, NAN, 3.0, NAN], [INF, 2.0, -INF, 0.0], [2.0, 2.0, 1.0, 2.0], [-1.0, 0.0, 1.0, 0.0]]
)
BEYOND = torch.tensor([NAN, INF, -INF, 3e9, -3e9, 1e30, -1.5, 300.0])
COMPLEX = torch.tensor([complex(a, b) for a in (0.0, -0.0, 1.0, -1.0, 2.5) for b in (0.0, -0.0, 1.0, -1.0)])
SMALL = torch.tensor([2, 3, 5, 7, 8, 100, 127, -127, -126, 64, 31, 0, -5], dtype=torch.int8)
LARGE = torch.tensor([[3e38, 3e38, -3e38, 1.0], [1e30, -1e30, 1e30, 0.0], [3e38, 3e38, 3e38, 3e38]])
# The scores of rows that a mask covers wholly, before they are scaled.
COVERED = torch.tensor([[-1.7e38] * 5, [-1e30] * 5, [-1e9] * 5, [-1e30, -1e30, 1.0, 2.0, -1e30]])
TAIL = torch.tensor([-9.0, -2.5, -1.0, 0.0, 2.0, 3.5, 5.0, 9.0, INF, -INF, NAN])
ZETA = torch.tensor([1.0, 0.5, 3.0, 3e38, 1e30])

Call = Callable[[], Any]

# By the first words of a row: what shows it. A row that is not here says why in `_NOT_SHOWN`.
SHOWN: dict[str, tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = {
    "Arithmetic takes subnormal numbers": (lambda x: x * 2, (TINY,)),
    "Sorting, `argmax`, `max`": (lambda x: x.sort().indices, (TINY[:4],)),
    "The sign of a zero": (lambda x: torch.signbit(F.relu(x)), (EDGES,)),
    "`fmod` and `remainder`": (torch.fmod, (torch.full((16,), 3.4e38), torch.full((16,), 0.5))),
    "Sums of products": (lambda x, y: x * y + x * 3, (torch.full((16,), 3e38), torch.full((16,), -3.0))),
    "Complex functions of infinities": (torch.tanh, (torch.full((4,), complex(0.0, INF)),)),
    "The order of NaN": (lambda x: x.topk(2).indices, (torch.full((3, 4), NAN),)),
    "`sin`, `cos`, `tan` of float32": (torch.sin, (torch.full((4,), 3.4e38),)),
    "`prod` of bfloat16": (torch.prod, (torch.linspace(0.98, 1.03, 256).bfloat16(),)),
    "float to uint32": (lambda x: x.to(torch.uint32), (torch.full((64,), NAN),)),
}
# Eager's own vector code differs, where it has any.
_OF_VECTOR_CODE = {"`fmod` and `remainder`", "float to uint32"}
_HAS_VECTOR_CODE = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
# The engines differ where the processor adds to a product before it is rounded.
_OF_FUSED_SUMS = {"Sums of products"}
_NOT_SHOWN = {
    "`gelu` of infinity": "only where eager's vector code is AVX-512's",
    "float to integer of what does not fit, on ARM": "needs another processor",
    "Products of float16 matrices": "needs another processor",
    "NaN and infinities beside other values": "only where the form is: tests/lowering/stablehlo/passes",
}

CASTS = [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64]
UNARY = """
    abs neg sign isnan isinf isfinite ceil floor round trunc frac sqrt rsqrt exp exp2 expm1 log log2 log10
    log1p asin acos atan sinh cosh tanh asinh acosh atanh sigmoid erf erfc erfinv reciprocal square angle
    nan_to_num signbit
""".split()
BINARY = "add sub mul div atan2 copysign maximum minimum fmax fmin hypot heaviside".split()
REDUCTIONS = """
    amax amin argmax argmin cumsum cumprod cummax cummin sum prod mean median logsumexp softmax log_softmax
""".split()

# Subnormals in comparisons, casts of what does not fit, signed zeros, NaN, infinities, losses.
EQUAL: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    **{
        f"subnormals {name}": (getattr(torch, name), (TINY, TINY.flip(0)))
        for name in ("gt", "ge", "lt", "le", "eq", "ne", "logical_and")
    },
    "subnormals and zero": (lambda x: (x > 0, x <= 0, x == 0, x.sign(), x.bool()), (TINY,)),
    "subnormals counted": (lambda x: x.count_nonzero(), (TINY,)),
    "subnormals moved": (lambda x: torch.where(x < 0, x, x.abs()).view(torch.int32), (TINY,)),
    **{f"{dtype}": (lambda x, dtype=dtype: x.to(dtype), (BEYOND,)) for dtype in CASTS},
    **{f"half to {dtype}": (lambda x, dtype=dtype: x.to(dtype), (BEYOND.half(),)) for dtype in CASTS},
    **{name: (getattr(torch, name), (EDGES,)) for name in UNARY},
    **{name: (getattr(torch, name), (EDGES, EDGES.roll(4))) for name in BINARY},
    **{name: (lambda x, name=name: getattr(torch, name)(x, 1), (ROWS,)) for name in REDUCTIONS},
    "lcm of small integers": (torch.lcm, (SMALL, SMALL.roll(5))),
    "zeta": (torch.special.zeta, (torch.tensor([INF, INF, INF, 1.5, 2.0]), ZETA)),
    "zeta below 0": (torch.special.zeta, (torch.arange(2.0, 6.0), torch.tensor([-100.5, -0.2, -7.0, -2.7]))),
    **{
        f"{name} of scaled rows": (lambda x, name=name: getattr(torch, name)(x * 0.1118, dim=1), (COVERED,))
        for name in ("softmax", "log_softmax", "logsumexp")
    },
    "a product less its largest": (lambda x: (x * 0.1118 - (x * 0.1118).amax(1, True)).exp(), (COVERED,)),
    "margins of NaN": (lambda x: F.multi_margin_loss(x, torch.arange(4), reduction="none"), (ROWS,)),
    "margins of NaN in rows": (
        lambda x: F.multilabel_margin_loss(x, torch.tensor([[3, 0, -1, 1]] * 4), reduction="none"),
        (ROWS,),
    ),
    "tails": (torch.special.log_ndtr, (TAIL,)),
    **{
        f"{name} of large numbers": (lambda x, name=name: getattr(torch, name)(x, dim=1), (LARGE,))
        for name in ("cumsum", "cumprod", "var", "std", "var_mean", "std_mean", "trapezoid", "logsumexp")
    },
    "moments of one": (lambda x: torch.std_mean(x, dim=1, correction=0), (EDGES[:, None],)),
    "norm of one": (lambda x: torch.linalg.vector_norm(x, dim=1), (LARGE.reshape(-1, 1),)),
    "sort": (lambda x: x.sort(dim=1, stable=True), (ROWS,)),
    **{f"complex {name}": (getattr(torch, name), (COMPLEX,)) for name in ("angle", "sqrt", "abs")},
    "sign of an angle": (lambda x: torch.signbit(torch.angle(x)), (COMPLEX,)),
    "sign of a root": (lambda x: torch.signbit(torch.sqrt(x).imag), (COMPLEX,)),
    "signs": (lambda x: torch.signbit(torch.copysign(x, -x)), (EDGES,)),
    **{
        f"{name} of two dtypes": (getattr(F, name), (EDGES[9:].bfloat16(), EDGES[9:].roll(1)))
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss")
    },
}  # fmt: skip


class Calls(torch.nn.Module):
    """All calls of a table; results flat, in order."""

    def __init__(self, table: dict[str, Any]) -> None:
        super().__init__()
        self.table = list(table.values())

    def forward(self, *args: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given, results = iter(args), []
        for function, operands in self.table:
            result = function(*(next(given) for _ in operands))
            results += [result] if isinstance(result, torch.Tensor) else list(result)
        return tuple(results)


def _rows() -> dict[str, set[str]]:
    """The engines of each row of the page, by its first cell."""
    cells = [
        line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")
    ]
    return {first: set(engines.split(", ")) for first, engines, *_ in cells[1:]}


def _arguments(table: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    return tuple(operand for _, operands in table.values() for operand in operands)


def test_each_row_has_a_program_or_says_why_not() -> None:
    starts = {*SHOWN, *_NOT_SHOWN}
    for row in _rows():
        assert any(row.startswith(start) for start in starts), row
    for start in starts:
        assert any(row.startswith(start) for row in _rows()), start


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_rows_show_on_their_engines_alone(engine: str) -> None:
    args = _arguments(SHOWN)
    compiled = bridge.lower(Calls(SHOWN), args).compile(engine)
    rows = _rows()
    for start, got, want in zip(SHOWN, compiled(*args), Calls(SHOWN)(*args), strict=True):
        if start in _OF_VECTOR_CODE and not _HAS_VECTOR_CODE:
            continue
        if start in _OF_FUSED_SUMS and "fma" not in processor().features:
            continue
        engines = next(engines for row, engines in rows.items() if row.startswith(start))
        assert _is_equal(got, want) is (engine not in engines), start
    assert not compiled.report.fallbacks


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_what_is_in_no_row_is_equal(engine: str) -> None:
    args = _arguments(EQUAL)
    lowered = bridge.lower(Calls(EQUAL), args)
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile(engine)
    names = [name for name, call in EQUAL.items() for _ in Calls({name: call})(*call[1])]
    wrong = [
        name
        for name, got, want in zip(names, compiled(*args), Calls(EQUAL)(*args), strict=True)
        if not _is_equal(got, want)
    ]
    assert not wrong
    assert not compiled.report.fallbacks


def _is_equal(got: torch.Tensor, want: torch.Tensor) -> bool:
    if got.dtype is not want.dtype:
        return False
    if want.is_complex():
        got, want = torch.view_as_real(got), torch.view_as_real(want)
    if not want.is_floating_point():
        return torch.equal(got, want)
    rtol = 0.004 if want.dtype is torch.bfloat16 else 2e-6
    return bool(torch.isclose(got, want, rtol=rtol, atol=0.0, equal_nan=True).all())
