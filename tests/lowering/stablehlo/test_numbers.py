"""Python's arithmetic on numbers from the data: checks, and what is refused for want of exactness."""

from __future__ import annotations

import math
from itertools import product
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, contiguous
from lowering.stablehlo import hlo
from lowering.stablehlo.emit import emit_module, try_nodes
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.targets.aten.operators import SCALAR
from tests.lowering.graphs import node, program

U0 = Symbol("u0")
INT, FLOAT, BOOL = SymKind.INT, SymKind.FLOAT, SymKind.BOOL
ENDLESS = "OverflowError: a float from the data is not an integer of 64 bits"
POWER = "a negative power of an integer from the data"
GETITEM = "_operator.getitem of a number from the data is not computed in StableHLO"
PLACES = "a number from the data, rounded to decimal places"
MIXED = "the greater or smaller of an int and a float from the data"
KIND = "the program takes a int64 from the data for its float"
LARGE = "an integer from the data is too large to be a float"
WIDE = "an integer from the data leaves the 64 bits that StableHLO has for it"


def whole(target: str, kind: SymKind, dtype: DType, args: tuple, value: Any = U0, ranges: Any = ()) -> Any:
    """The program of one number that is computed from another, `n`, the item of `x`."""
    of = FLOAT if dtype.is_floating else BOOL if dtype is DType.BOOL else INT
    types = {"x": contiguous(dtype, ()), "n": SymType(of, U0), "y": SymType(kind, value)}
    nodes = [node("n", "aten.item.default", self="%x"), node("y", target, *args)]
    made = program(["x"], nodes, ["%y"], types)
    made.ranges.update(ranges)
    return made


def checks(given: Any) -> list[str]:
    module = emit_module(given, given.graph.nodes, ["x"], ["y"], {}, "m")
    return [check.message.partition(": ")[2] for check in module.checks]


@pytest.mark.parametrize(
    ("target", "kind", "dtype", "args", "wanted"),
    [
        ("_operator.add", INT, DType.INT64, ("%n", 1), [WIDE]),
        ("_operator.sub", INT, DType.INT64, (1, "%n"), [WIDE]),
        ("_operator.mul", INT, DType.INT64, ("%n", 3), [WIDE]),
        ("_operator.pow", INT, DType.INT64, ("%n", 2), [WIDE]),
        ("_operator.neg", INT, DType.INT64, ("%n",), [WIDE]),
        ("_operator.floordiv", INT, DType.INT64, ("%n", 3), []),
        ("_operator.floordiv", INT, DType.INT64, (3, "%n"), ["ZeroDivisionError", WIDE]),
        ("_operator.mod", INT, DType.INT64, (3, "%n"), ["ZeroDivisionError"]),
        ("_operator.truediv", FLOAT, DType.INT32, ("%n", 2), []),
        ("_operator.truediv", FLOAT, DType.INT64, ("%n", 2), [LARGE]),
        ("_operator.lt", BOOL, DType.INT64, ("%n", 2.5), [LARGE]),
        ("_operator.truediv", FLOAT, DType.FLOAT32, (1.0, "%n"), ["ZeroDivisionError"]),
        ("_operator.pow", FLOAT, DType.FLOAT32, ("%n", 2.0), ["OverflowError: the square is too large"]),
        ("math.sqrt", FLOAT, DType.FLOAT32, ("%n",), ["ValueError: math domain error"]),
        ("torch.sym_int", INT, DType.FLOAT32, ("%n",), [ENDLESS]),
        ("torch.sym_float", FLOAT, DType.INT64, ("%n",), []),
        ("torch.sym_max", INT, DType.INT64, ("%n", 2), []),
        ("torch.sym_not", BOOL, DType.BOOL, ("%n",), []),
        ("_operator.le", BOOL, DType.INT64, ("%n", 2), []),
        ("_operator.lt", BOOL, DType.FLOAT32, ("%n", 2.5), []),
    ],
)  # fmt: skip
def test_what_python_refuses_is_checked(
    target: str, kind: SymKind, dtype: DType, args: tuple, wanted: list[str]
) -> None:
    given = whole(target, kind, dtype, args, Apply("Opaque", (U0,)))
    assert try_nodes(given, {}) == {}
    assert checks(given) == wanted


def test_ranges_that_the_program_asserts_need_no_check() -> None:
    wider = Apply("Add", (U0, 1))
    assert checks(whole("_operator.add", INT, DType.INT64, ("%n", 1), wider)) == [WIDE]
    assert checks(whole("_operator.add", INT, DType.INT64, ("%n", 1), wider, {"u0": Range(0, 29)})) == []


@pytest.mark.parametrize(
    ("target", "kind", "dtype", "args", "reason"),
    [
        ("_operator.getitem", FLOAT, DType.FLOAT32, ("%n", 0), GETITEM),
        ("_operator.pow", INT, DType.INT64, ("%n", -1), POWER),
        ("builtins.round", FLOAT, DType.FLOAT32, ("%n", 2), PLACES),
        ("_operator.add", INT, DType.INT64, ("%n", 1 << 70), f"a number from the data beside {1 << 70}"),
        ("torch.sym_max", FLOAT, DType.INT64, ("%n", 2.0), MIXED),
        ("_operator.add", FLOAT, DType.INT64, ("%n", 1), KIND),
    ],
)  # fmt: skip
def test_what_would_not_be_exact_is_refused(
    target: str, kind: SymKind, dtype: DType, args: tuple, reason: str
) -> None:
    assert try_nodes(whole(target, kind, dtype, args), {}) == {"y": reason}


FLOATS = [0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 3.5, 7.0, 1e6, -1e18, 1e200, inf, -inf, nan]
INTEGERS = [0, 1, -1, 2, -2, 3, 5, -7, 62, 63, 64, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63)]
OF_FLOATS = (
    "math.floor math.ceil math.trunc builtins.round math.sqrt math.exp math.cosh math.log2 math.acos".split()
)
OF_TWO_FLOATS = "_operator.floordiv _operator.mod _operator.pow".split()
OF_INTEGERS = "_operator.pow _operator.lshift _operator.rshift _operator.floordiv _operator.mod".split()
CALLS = [
    *((target, DType.FLOAT64, tuple((value,) for value in FLOATS)) for target in OF_FLOATS),
    *((target, DType.FLOAT64, tuple(product(FLOATS, FLOATS))) for target in OF_TWO_FLOATS),
    *((target, DType.INT64, tuple(product(INTEGERS, INTEGERS))) for target in OF_INTEGERS),
]


@pytest.mark.parametrize(("target", "dtype", "calls"), CALLS, ids=lambda value: str(value)[:20])
def test_functions_are_python_s(target: str, dtype: DType, calls: tuple[tuple[Any, ...], ...]) -> None:
    """Values, their signs, and what is refused; an integer of more than 64 bits is refused as well."""
    whole_result = dtype is DType.INT64 or target in OF_FLOATS[:4]
    kind = INT if whole_result else FLOAT
    of = INT if dtype is DType.INT64 else FLOAT
    names = ["x", "z"][: len(calls[0])]
    types = {name: contiguous(dtype, ()) for name in names}
    numbers = {f"n{name}": SymType(of, Symbol(f"u{at}")) for at, name in enumerate(names)}
    nodes = [node(f"n{name}", "aten.item.default", self=f"%{name}") for name in names]
    nodes.append(node("y", target, *(f"%{name}" for name in numbers)))
    values = types | numbers | {"y": SymType(kind, Apply("Opaque", (U0,)))}
    given = program(names, nodes, ["%y"], values)
    module = emit_module(given, given.graph.nodes, names, ["y"], {}, "m")
    with hlo.make_context() as context, ir.Location.unknown():
        parsed, numbers_of = hlo.deserialize(module.code, context), np.int64 if of is INT else np.float64
        made = [
            stablehlo.eval_module(
                parsed, [ir.DenseElementsAttr.get(np.array(value, numbers_of)) for value in call]
            )
            for call in calls
        ]
        answers = [(np.array(value).item(), bool(np.array(flags).any())) for value, flags in made]
    for call, (found, refused) in zip(calls, answers, strict=True):
        wanted = _python(target, call)
        assert refused is (wanted is None), (call, found, wanted)
        if isinstance(wanted, float) and not refused:
            assert found == pytest.approx(wanted, rel=1e-14, abs=0, nan_ok=True), call
            assert math.copysign(1, found) == math.copysign(1, wanted) or wanted != wanted, call
        elif not refused:
            assert found == wanted, call


def _python(target: str, call: tuple[Any, ...]) -> Any:
    """What Python gives; None where it refuses, gives a complex number or an integer of more than 64 bits."""
    if target in ("_operator.pow", "_operator.lshift") and isinstance(call[1], int) and call[1] > 64:
        # Python would take all memory.
        if abs(call[0]) > (target == "_operator.pow"):
            return None
        call = call[0], 64 + call[1] % 2
    try:
        found = SCALAR[target](*call)
    except (ArithmeticError, ValueError):
        return None
    if isinstance(found, complex) or (isinstance(call[0], int) and isinstance(found, float)):
        return None
    return None if isinstance(found, int) and not -(1 << 63) <= found < 1 << 63 else found


@pytest.mark.parametrize(
    ("dtype", "sizes", "reason"),
    [
        (DType.UINT64, (), "an item of uint64 is not a 64-bit number"),
        (DType.COMPLEX64, (1,), "an item of complex64 is not a 64-bit number"),
        (DType.INT64, (2,), "the item of a tensor that has not one element"),
    ],
)
def test_items_that_are_refused(dtype: DType, sizes: tuple[int, ...], reason: str) -> None:
    types = {"x": contiguous(dtype, sizes), "n": SymType(INT, U0)}
    given = program(["x"], [node("n", "aten.item.default", self="%x")], ["%n"], types)
    assert try_nodes(given, {}) == {"n": reason}
