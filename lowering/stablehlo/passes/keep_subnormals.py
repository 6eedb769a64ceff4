"""Compare and cast numbers that may be subnormal by their bits, for engines that take subnormals for zeros.

An engine may set the processor's modes that flush subnormals in all its threads, without a switch for it. A
comparison can do without: the bits of floating-point numbers, as integers, are in order. A cast can, too: a
subnormal float32 is a whole number of the smallest one. Results of arithmetic are flushed already, so that
only numbers that come as they are from outside are compared and widened so.
"""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, direction_of, replace, splat_of
from lowering.stablehlo.value import Value, bitcast, converted, select

_BITS = {DType.BFLOAT16: DType.INT16, DType.FLOAT32: DType.INT32, DType.FLOAT64: DType.INT64}
_INFINITY = {DType.BFLOAT16: 0x7F80, DType.FLOAT32: 0x7F80_0000, DType.FLOAT64: 0x7FF0_0000_0000_0000}
_SMALLEST = {DType.BFLOAT16: 2.0**-126, DType.FLOAT32: 2.0**-126, DType.FLOAT64: 2.0**-1022}
# Of the smallest subnormal, by whose number of times the bits of a subnormal are.
_EXPONENT = {DType.BFLOAT16: -133, DType.FLOAT32: -149, DType.FLOAT64: -1074}
_SWAPPED = {"EQ": "EQ", "NE": "NE", "LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE"}

# Operations that move numbers, or change no bit of them but the sign.
_MOVES = frozenset(
    f"stablehlo.{name}"
    for name in """
    abs broadcast_in_dim concatenate dynamic_slice dynamic_update_slice gather negate optimization_barrier pad
    real imag reshape reverse select slice transpose
    """.split()
)
# Regions that see the values around them as they are.
_BRANCHES = frozenset(("stablehlo.case", "stablehlo.if"))


def rewrite(parsed: ParsedModule) -> None:
    _rewrite(parsed.block)


def _rewrite(block: ir.Block) -> None:
    """Let comparisons and casts see the subnormals of a block's arguments, in its branches too."""
    for op in list(block.operations):
        if op.operation.name in _BRANCHES:
            for region in op.regions:
                for inner in region.blocks:
                    _rewrite(inner)
        if op.operation.name == "stablehlo.convert":
            with ir.InsertionPoint(op), op.location:
                _rewrite_cast(op)
            continue
        if op.operation.name != "stablehlo.compare":
            continue
        left, right = map(Value, op.operands)
        if left.dtype not in _BITS or left.ir == right.ir:
            continue  # a number that is not equal to itself is NaN, whatever its size
        direction = direction_of(op.operation)
        with ir.InsertionPoint(op), op.location:
            result = _compared(left, right, direction)
            if result is not None:
                replace(op, result)


def _rewrite_cast(op: Any) -> None:
    """Casts between float32, or bfloat16, and float64; all others are exact, or have no subnormals."""
    value, dtype = Value(op.operand), Value(op.result).dtype
    if value.dtype is DType.FLOAT64 and dtype is DType.FLOAT32:
        replace(op, _narrowed(value))
    elif (
        dtype is DType.FLOAT64
        and value.dtype in (DType.FLOAT32, DType.BFLOAT16)
        and _may_be_subnormal(value.ir)
    ):
        replace(op, _widened(converted(value, DType.FLOAT32)))


def _widened(x: Value) -> Value:
    """A float32 as float64: of a subnormal, the bits count how many of the smallest it is."""
    bits = bitcast(x, DType.INT32)
    size = bits & 0x7FFF_FFFF
    count = converted(size, DType.FLOAT64) * 2.0 ** _EXPONENT[DType.FLOAT32]
    wide = converted(x, DType.FLOAT64)
    return select(size < 1 << 23, select(bits < 0, -count, count), wide)


def _narrowed(x: Value) -> Value:
    """A float64 as float32: below the least normal one, rounded to a number of the smallest."""
    smallest = _SMALLEST[DType.FLOAT32]
    is_small = cx.abs(x) < smallest
    count = converted(cx.round_even(cx.abs(x) * 2.0 ** -_EXPONENT[DType.FLOAT32]), DType.INT32)
    sign = select(bitcast(x, DType.INT64) < 0, -(1 << 31), cx.constant(0, DType.INT32))
    subnormal = bitcast(select(is_small, count, 0) | sign, DType.FLOAT32)
    return select(is_small, subnormal, converted(x, DType.FLOAT32))


def _compared(left: Value, right: Value, direction: str) -> Value | None:
    """The comparison on bits; None where no subnormal can come, or none makes a difference."""
    fixed = splat_of(left.ir)
    if fixed is not None:
        left, right, direction = right, left, _SWAPPED[direction]
    else:
        fixed = splat_of(right.ir)
    if not (_may_be_subnormal(left.ir) or (fixed is None and _may_be_subnormal(right.ir))):
        return None
    if fixed == 0:
        return _with_zero(left, direction)
    if fixed is not None and not 0 < abs(fixed) < _SMALLEST[left.dtype]:
        return None
    if fixed is not None:
        keys = cx.compare(_key(left), _key_of(fixed, left.dtype), direction)
        return keys | cx.is_nan(left) if direction == "NE" else keys & ~cx.is_nan(left)
    keys = cx.compare(_key(left), _key(right), direction)
    if direction == "NE":
        return keys | cx.is_nan(left) | cx.is_nan(right)
    return keys & ~cx.is_nan(left) & ~cx.is_nan(right)


def _with_zero(x: Value, direction: str) -> Value:
    """By integers alone, and not by `bits & ~sign == 0`, which LLVM takes for `x == 0`."""
    key = _key(x)
    if direction in ("EQ", "NE"):
        return cx.compare(key, 0, direction)
    held = key <= _INFINITY[x.dtype] if direction in ("GT", "GE") else key >= -_INFINITY[x.dtype]
    return held & cx.compare(key, 0, direction)


def _key(x: Value) -> Value:
    """Integers in the order of the numbers, both zeros being 0; those of NaN lie beyond the infinities'."""
    bits = cx.bitcast(x, _BITS[x.dtype])
    return cx.select(bits < 0, -(1 << 8 * x.dtype.itemsize - 1) - bits, bits)


def _key_of(number: float, dtype: DType) -> int:
    """The key of a constant, which is not left to the engine to compute."""
    size = abs(number) / 2.0 ** _EXPONENT[dtype]
    return int(-size if number < 0 else size)


def _may_be_subnormal(value: ir.Value) -> bool:
    """Whether a value may hold subnormals: those of arguments, unless arithmetic has been done on them."""
    seen: set[ir.Value] = set()
    left = [value]
    while left:
        found = left.pop()
        if found in seen:
            continue
        seen.add(found)
        owner = found.owner
        if isinstance(owner, ir.Block):
            return True
        if owner.name in _MOVES or _widens(owner):
            left += [operand for operand in owner.operands if Value(operand).dtype not in _WHOLE]
    return False


def _widens(owner: Any) -> bool:
    """bfloat16 becomes float32 by a shift of its bits."""
    return owner.name == "stablehlo.convert" and Value(owner.operands[0]).dtype is DType.BFLOAT16


_WHOLE = frozenset(dtype for dtype in DType if dtype.is_integer or dtype is DType.BOOL)
