"""Python's arithmetic on numbers that only the data tells, in StableHLO: exact, or refused.

Integers are int64. A result that needs more is a failed check, as is what Python refuses. Functions such as
sines are as exact as those of float64 tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.context import ConcreteType, Context
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
    at = _Arithmetic(cx, fits)
    if target == "builtins.round":
        operands = [operand for operand in operands if operand is not None]
        if len(operands) > 1:
            raise Unsupported("a number from the data, rounded to decimal places")
    if rule is _power:
        return DataNumber(_power(at, *operands))
    return DataNumber(rule(at, *(_value(cx, operand) for operand in operands)))


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


def _remainder(at: _Arithmetic, a: Value, b: Value) -> Value:
    """With the sign of the divisor."""
    a, b = at.same(a, b)
    if a.dtype is FLOAT:
        return _split(at, a, b)[1]
    by = _nonzero(at, b)
    # The remainder by -1 traps where the quotient does not fit.
    by = by if _within(by, 1, _MOST) else at.cx.select(by == -1, 1, by)
    rest = at.cx.remainder(a, by)
    return at.cx.select((rest != 0) & ((rest < 0) != (by < 0)), rest + by, rest)


def _quotient(at: _Arithmetic, a: Value, b: Value) -> Value:
    """Rounded down."""
    a, b = at.same(a, b)
    if a.dtype is FLOAT:
        return _split(at, a, b)[0]
    by = _nonzero(at, b)
    if not _within(by, 1, _MOST):
        at.overflow((a == _LEAST) & (b == -1))
        a = at.cx.select((a == _LEAST) & (by == -1), _LEAST + 1, a)
    rest = at.cx.remainder(a, by)
    down = (rest != 0) & ((rest < 0) != (by < 0))
    return a / by - at.cx.convert(down, INT)


def _split(at: _Arithmetic, a: Value, b: Value) -> tuple[Value, Value]:
    """Of floats, the quotient rounded down and the remainder, in the steps of Python's `divmod`."""
    cx = at.cx
    if not _is_literal(b):
        cx.fail_if(b == 0, "ZeroDivisionError")
    rest = cx.remainder(a, b)
    exact = (a - rest) / b
    other = (rest != 0) & ((rest < 0) != (b < 0))
    down = cx.floor(cx.select(other, exact - 1.0, exact))
    down = cx.select(cx.select(other, exact - 1.0, exact) - down > 0.5, down + 1.0, down)
    quotient = cx.select(cx.select(other, exact - 1.0, exact) == 0, _signed_zero(cx, a / b), down)
    return quotient, cx.select(rest == 0, _signed_zero(cx, b), cx.select(other, rest + b, rest))


def _signed_zero(cx: Context, value: Value) -> Value:
    """0.0 with a float's sign."""
    float64 = ConcreteType(FLOAT, ())
    return cx.call("aten.copysign.Tensor", cx.constant(0.0, FLOAT), value, outs=(float64,))


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


def _power(at: _Arithmetic, base: Operand, exponent: Operand) -> Value:
    """Of floats by C's power; of integers by products. Raises Unsupported for one that is negative."""
    values = [_value(at.cx, operand) for operand in (base, exponent)]
    if FLOAT in (values[0].dtype, values[1].dtype):
        return _float_power(at, at.as_float(values[0]), exponent, at.as_float(values[1]))
    whole, times = (at.cx.convert(value, INT) for value in values)
    if is_data_number(exponent) or is_symbolic(exponent):
        return _integer_power(at, whole, times)
    if exponent < 0:
        raise Unsupported("a negative power of an integer from the data")
    made: Value | None = None
    for bit in f"{int(exponent):b}":
        made = _multiplied(at, made, made) if made is not None else at.cx.constant(1, INT)
        made = _multiplied(at, made, whole) if bit == "1" else made
    assert made is not None
    return made


def _integer_power(at: _Arithmetic, base: Value, exponent: Value) -> Value:
    """By squaring. Beyond 63, only powers of -1, 0 and 1 have 64 bits, and they repeat after two."""
    cx = at.cx
    cx.fail_if(exponent < 0, "a negative power of an integer from the data is not an integer")
    at.overflow((exponent > 63) & ((base > 1) | (base < -1)))
    left = cx.select(exponent > 63, 62 + (exponent & 1), cx.maximum(exponent, 0))
    made, square = cx.constant(1, INT), base
    for bit in range(6):
        taken = (cx.shift_right_logical(left, bit) & 1) != 0
        made = _multiplied(at, made, cx.select(taken, square, 1))
        if bit < 5:
            # A square that nothing takes may leave the 64 bits.
            square = cx.select(cx.shift_right_logical(left, bit + 1) != 0, square, 1)
            square = _multiplied(at, square, square)
    return made


def _float_power(at: _Arithmetic, base: Value, exponent: Operand, power: Value) -> Value:
    """The square is the product, which is right to the last bit; C's power is nearly always."""
    cx = at.cx
    if not is_data_number(exponent) and exponent == 2:
        made = base * base
        cx.fail_if((cx.abs(made) == inf) & (cx.abs(base) != inf), "OverflowError: the square is too large")
        return made
    made = cx.call("aten.pow.Tensor_Tensor", base, power, outs=(ConcreteType(FLOAT, ()),))
    cx.fail_if((base == 0) & (power < 0) & (power != -inf), "ZeroDivisionError")
    cx.fail_if((made != made) & (base == base) & (power == power), "the power is not a real number")
    finite = (cx.abs(base) != inf) & (cx.abs(power) != inf) & (base != 0)
    cx.fail_if((cx.abs(made) == inf) & finite, "OverflowError: the power is too large")
    return made


def _compared(direction: str) -> Function:
    def rule(at: _Arithmetic, a: Value, b: Value) -> Value:
        a, b = at.comparable(a, b)
        return at.cx.compare(a, b, direction)

    return rule


def _bits(combine: Callable[[Value, Value], Value]) -> Function:
    def rule(at: _Arithmetic, a: Value, b: Value) -> Value:
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


def _shifted(at: _Arithmetic, a: Value, b: Value) -> Value:
    """To the left: a product with a power of 2."""
    a, b = at.same(a, b)
    at.cx.fail_if(b < 0, "ValueError: negative shift count")
    at.overflow((b > 63) & (a != 0))
    count = at.cx.clamp(0, b, 63)
    made = at.cx.shift_left(a, count)
    at.overflow(at.cx.shift_right_arithmetic(made, count) != a)
    return at.cx.select(a == 0, 0, made)


def _shifted_back(at: _Arithmetic, a: Value, b: Value) -> Value:
    """To the right: the quotient by a power of 2, rounded down."""
    a, b = at.same(a, b)
    at.cx.fail_if(b < 0, "ValueError: negative shift count")
    return at.cx.shift_right_arithmetic(a, at.cx.clamp(0, b, 63))


def _function(name: str) -> Function:
    """A function of `math`, by torch's of tensors. Python refuses a NaN or an infinity of other numbers."""

    def rule(at: _Arithmetic, a: Value) -> Value:
        a = at.as_float(a)
        made = at.cx.call(f"aten.{name}.default", a, outs=(ConcreteType(FLOAT, ()),))
        infinite = (at.cx.abs(made) == inf) & (at.cx.abs(a) != inf)
        domain = (made != made) & (a == a)
        if name.startswith("log"):
            at.cx.fail_if(domain | (a == 0), "ValueError: math domain error")
            return made
        at.cx.fail_if(domain, "ValueError: math domain error")
        if name in _UNBOUNDED:
            at.cx.fail_if(infinite, "OverflowError: math range error")
        return made

    return rule


# Functions of `math` that torch has for tensors under the same name; those that leave the range of floats.
_OF_FLOATS = "acos asin atan cos cosh exp log log2 sin sinh sqrt tan tanh".split()
_UNBOUNDED = frozenset(("cosh", "exp", "sinh"))

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
    "_operator.pow": _power,
    "math.pow": lambda at, a, b: _float_power(at, at.as_float(a), None, at.as_float(b)),
    "_operator.lshift": _shifted,
    "_operator.rshift": _shifted_back,
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
    "builtins.round": _whole(Context.round_even),
    **{f"math.{name}": _function(name) for name in _OF_FLOATS},
}
_SAME = {
    "torch.sym_max": "builtins.max",
    "torch.sym_min": "builtins.min",
    "torch.sym_not": "_operator.not_",
    **{
        f"torch.{prefix}_{name}": f"math.{name}"
        for prefix in ("sym", "_sym")
        for name in (*_OF_FLOATS, "floor", "ceil", "trunc")
    },
}
_RULES = _FUNCTIONS | {name: _FUNCTIONS[twin] for name, twin in _SAME.items()}
