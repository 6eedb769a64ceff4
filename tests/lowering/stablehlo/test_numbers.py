"""Python's arithmetic on numbers from the data: checks, and what is refused for want of exactness."""

from __future__ import annotations

from typing import Any

import pytest

from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, contiguous
from lowering.stablehlo.emit import emit_module, try_nodes
from tests.lowering.graphs import node, program

U0 = Symbol("u0")
INT, FLOAT, BOOL = SymKind.INT, SymKind.FLOAT, SymKind.BOOL
ENDLESS = "OverflowError: a float from the data is not an integer of 64 bits"
POWER = "a power of a number from the data, other than the square"
SINE = "math.sin of a number from the data is not computed in StableHLO"
FLOOR = "a quotient of floats from the data, rounded down"
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
        ("math.sin", FLOAT, DType.FLOAT32, ("%n",), SINE),
        ("_operator.pow", FLOAT, DType.FLOAT32, ("%n", 3.0), POWER),
        ("_operator.pow", INT, DType.INT64, (2, "%n"), POWER),
        ("_operator.floordiv", FLOAT, DType.FLOAT32, ("%n", 2.0), FLOOR),
        ("_operator.add", INT, DType.INT64, ("%n", 1 << 70), f"a number from the data beside {1 << 70}"),
        ("torch.sym_max", FLOAT, DType.INT64, ("%n", 2.0), MIXED),
        ("_operator.add", FLOAT, DType.INT64, ("%n", 1), KIND),
    ],
)  # fmt: skip
def test_what_would_not_be_exact_is_refused(
    target: str, kind: SymKind, dtype: DType, args: tuple, reason: str
) -> None:
    assert try_nodes(whole(target, kind, dtype, args), {}) == {"y": reason}


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
