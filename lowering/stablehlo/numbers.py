"""Python's arithmetic on numbers that only the data tells, in StableHLO: exact, or refused.

Integers are int64. A result that needs more is a failed check, as is what Python refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import DataNumber, is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value

INT, FLOAT, BOOL = DType.INT64, DType.FLOAT64, DType.BOOL
_TYPES = {bool: BOOL, int: INT, float: FLOAT}
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
#: Integers up to here are float64s.
_EXACT = 1 << 53

Operand = Any
Function = Callable[..., Value]


def number_from(cx: Context, value: Value) -> DataNumber:
    """`value.item()` of a tensor of one element. Raises Unsupported for a dtype whose numbers int64 and
    float64 do not hold."""
    dtype = value.dtype
    if value.size != 1:
        raise Unsupported("the item of a tensor that has not one element")
    if dtype.is_complex or dtype is DType.UINT64:
        raise Unsupported(f"an item of {dtype} is not a 64-bit number")
    wide = BOOL if dtype is BOOL else INT if dtype.is_integer else FLOAT
    return DataNumber(cx.convert(cx.reshape(value, ()), wide))


def computed(cx: Context, target: str, operands: list[Operand], fits: bool) -> DataNumber:
    """The number that `_operator.add`, `torch.sym_max` and the like give. Raises Unsupported for one that is
    not exact in StableHLO.

    `fits`: an integer result is known to be one of 64 bits.
    """
    rule = _RULES.get(target)
    if rule is None:
        raise Unsupported(f"{target} of a number from the data is not computed in StableHLO")
    if rule is _square:
        base, exponent = operands
        if is_data_number(exponent) or exponent != 2:
            raise Unsupported("a power of a number from the data, other than the square")
        as_float = isinstance(exponent, float) and not isinstance(base, float)
        operands = [DataNumber(cx.convert(_value(cx, base), FLOAT)) if as_float else base]
    values = [_value(cx, operand) for operand in operands]
    return DataNumber(rule(_Arithmetic(cx, fits), *values))


def _value(cx: Context, operand: Operand) -> Value:
    if is_data_number(operand):
        return operand.value
    if is_symbolic(operand):
        return cx.constant(operand, INT)
    dtype = _TYPES.get(type(operand))
    if dtype is None or (dtype is INT and not _LEAST <= operand <= _MOST):
        raise Unsupported(f"a number from the data beside {operand!r}")
    return cx.constant(operand, dtype)


class _Arithmetic:
    """Where arithmetic is built. `fits`: whether an integer result has 64 bits for sure."""

    def __init__(self, cx: Context, fits: bool) -> None:
        self.cx = cx
        self.fits = fits

    def same(self, a: Value, b: Value) -> tuple[Value, Value]:
        """Both as ints or both as floats."""
        wide = FLOAT if FLOAT in (a.dtype, b.dtype) else INT
        return self.cx.convert(a, wide), self.cx.convert(b, wide)

    def comparable(self, a: Value, b: Value) -> tuple[Value, Value]:
        """Python compares an int with a float exactly: so only ints that are float64s become such."""
        if FLOAT in (a.dtype, b.dtype):
            for value in (a, b):
                self.as_float(value)
        return self.same(a, b)

    def as_float(self, value: Value) -> Value:
        """A number as a float, without rounding: another is a failed check."""
        if value.dtype is INT and not _within(value, -_EXACT, _EXACT):
            outside = (value < -_EXACT) | (value > _EXACT)
            self.cx.fail_if(outside, "an integer from the data is too large to be a float")
        return self.cx.convert(value, FLOAT)

    def overflow(self, failed: Value) -> None:
        if not self.fits:
            self.cx.fail_if(failed, "an integer from the data leaves the 64 bits that StableHLO has for it")


def _within(value: Value, low: int, high: int) -> bool:
    known = interval(value.ir)
    return low <= known.low and known.high <= high


def _added(at: _Arithmetic, a: Value, b: Value) -> Value:
    a, b = at.same(a, b)
    made = a + b
    if made.dtype is INT:
        at.overflow(((a ^ made) & (b ^ made)) < 0)
    return made


def _subtracted(at: _Arithmetic, a: Value, b: Value) -> Value:
    a, b = at.same(a, b)
    made = a - b
    if made.dtype is INT:
        at.overflow(((a ^ b) & (a ^ made)) < 0)
    return made


def _multiplied(at: _Arithmetic, a: Value, b: Value) -> Value:
    a, b = at.same(a, b)
    made = a * b
    if made.dtype is INT and not at.fits:
        # The quotient gives the other factor back, but for one that 64 bits do not hold.
        by = at.cx.select((b == 0) | (b == -1), 1, b)
        at.overflow(((made / by != a) & (by == b)) | ((b == -1) & (a == _LEAST)))
    return made


def _negated(at: _Arithmetic, a: Value) -> Value:
    return _subtracted(at, at.cx.constant(0, INT), a) if a.dtype is not FLOAT else -a


def _absolute(at: _Arithmetic, a: Value) -> Value:
    a = at.cx.convert(a, INT) if a.dtype is BOOL else a
    if a.dtype is INT:
        at.overflow(a == _LEAST)
    return at.cx.abs(a)


def _nonzero(at: _Arithmetic, divisor: Value) -> Value:
    """A divisor, of which Python refuses 0; 1 in its place meanwhile."""
    if divisor.dtype is INT and not (_within(divisor, 1, _MOST) or _within(divisor, _LEAST, -1)):
        at.cx.fail_if(divisor == 0, "ZeroDivisionError")
        divisor = at.cx.select(divisor == 0, 1, divisor)
    return divisor


def _integers(a: Value, b: Value) -> None:
    if FLOAT in (a.dtype, b.dtype):
        raise Unsupported("a quotient of floats from the data, rounded down")


def _remainder(at: _Arithmetic, a: Value, b: Value) -> Value:
    """With the sign of the divisor."""
    _integers(a, b)
    a, b = at.same(a, b)
    by = _nonzero(at, b)
    # The remainder by -1 traps where the quotient does not fit.
    by = by if _within(by, 1, _MOST) else at.cx.select(by == -1, 1, by)
    rest = at.cx.remainder(a, by)
    return at.cx.select((rest != 0) & ((rest < 0) != (by < 0)), rest + by, rest)


def _quotient(at: _Arithmetic, a: Value, b: Value) -> Value:
    """Rounded down."""
    _integers(a, b)
    a, b = at.same(a, b)
    by = _nonzero(at, b)
    if not _within(by, 1, _MOST):
        at.overflow((a == _LEAST) & (b == -1))
        a = at.cx.select((a == _LEAST) & (by == -1), _LEAST + 1, a)
    rest = at.cx.remainder(a, by)
    down = (rest != 0) & ((rest < 0) != (by < 0))
    return a / by - at.cx.convert(down, INT)


def _true_quotient(at: _Arithmetic, a: Value, b: Value) -> Value:
    if not _is_literal(b):
        at.cx.fail_if(b == 0, "ZeroDivisionError")
    return at.as_float(a) / at.as_float(b)


def _is_literal(value: Value) -> bool:
    """Whether a number is a literal of the program, and not 0."""
    owner = value.ir.owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.constant":
        return False
    attribute = owner.attributes["value"]
    kind = ir.DenseFPElementsAttr if value.dtype is FLOAT else ir.DenseIntElementsAttr
    return all(number != 0 for number in kind(attribute))


def _square(at: _Arithmetic, a: Value) -> Value:
    """Of floats, the product, which is right to the last bit; C's power is nearly always."""
    if a.dtype is not FLOAT:
        return _multiplied(at, a, a)
    made = a * a
    at.cx.fail_if((at.cx.abs(made) == inf) & (at.cx.abs(a) != inf), "OverflowError: the square is too large")
    return made


def _compared(direction: str) -> Function:
    def rule(at: _Arithmetic, a: Value, b: Value) -> Value:
        a, b = at.comparable(a, b)
        return at.cx.compare(a, b, direction)

    return rule


def _bits(combine: Callable[[Value, Value], Value]) -> Function:
    def rule(at: _Arithmetic, a: Value, b: Value) -> Value:
        _integers(a, b)
        return combine(a, b) if a.dtype is b.dtype else combine(*at.same(a, b))

    return rule


def _chosen(direction: str) -> Function:
    """Python's `max` and `min`: the first one, unless the second is beyond it."""

    def rule(at: _Arithmetic, a: Value, b: Value) -> Value:
        if a.dtype is not b.dtype:
            raise Unsupported("the greater or smaller of an int and a float from the data")
        return at.cx.select(at.cx.compare(b, a, direction), b, a)

    return rule


def _either(at: _Arithmetic, condition: Value, yes: Value, no: Value) -> Value:
    if yes.dtype is not no.dtype:
        raise Unsupported("an int or a float, as the data tells")
    return at.cx.select(at.cx.convert(condition, BOOL), yes, no)


def _whole(rounded: Callable[[Context, Value], Value] | None) -> Function:
    """A float as an int, which Python refuses of NaN and of infinities."""

    def rule(at: _Arithmetic, a: Value) -> Value:
        if a.dtype is not FLOAT:
            return at.cx.convert(a, INT)
        inside = (a >= float(_LEAST)) & (a < -float(_LEAST))
        at.cx.fail_if(~inside, "OverflowError: a float from the data is not an integer of 64 bits")
        a = at.cx.select(inside, a, 0.0)
        return at.cx.convert(rounded(at.cx, a) if rounded else a, INT)

    return rule


def _root(at: _Arithmetic, a: Value) -> Value:
    a = at.as_float(a)
    at.cx.fail_if(a < 0, "ValueError: math domain error")
    return at.cx.sqrt(a)


_FUNCTIONS: dict[str, Function] = {
    "_operator.add": _added,
    "_operator.sub": _subtracted,
    "_operator.mul": _multiplied,
    "_operator.neg": _negated,
    "_operator.pos": lambda at, a: a if a.dtype is FLOAT else at.cx.convert(a, INT),
    "_operator.abs": _absolute,
    "_operator.floordiv": _quotient,
    "_operator.mod": _remainder,
    "_operator.truediv": _true_quotient,
    "_operator.pow": _square,
    **{f"_operator.{name}": _compared(name.upper()) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "_operator.and_": _bits(lambda a, b: a & b),
    "_operator.or_": _bits(lambda a, b: a | b),
    "_operator.xor": _bits(lambda a, b: a ^ b),
    "_operator.not_": lambda at, a: ~at.cx.convert(a, BOOL),
    "builtins.max": _chosen("GT"),
    "builtins.min": _chosen("LT"),
    "builtins.abs": _absolute,
    "torch.sym_ite": _either,
    "torch.sym_int": _whole(None),
    "torch.sym_float": lambda at, a: at.cx.convert(a, FLOAT),
    "math.trunc": _whole(None),
    "math.floor": _whole(Context.floor),
    "math.ceil": _whole(Context.ceil),
    "math.sqrt": _root,
}
_SAME = {
    "torch.sym_max": "builtins.max",
    "torch.sym_min": "builtins.min",
    "torch.sym_not": "_operator.not_",
    "torch._sym_sqrt": "math.sqrt",
    "torch.sym_sqrt": "math.sqrt",
}
_RULES = _FUNCTIONS | {name: _FUNCTIONS[twin] for name, twin in _SAME.items()}
