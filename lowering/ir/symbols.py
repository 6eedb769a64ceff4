"""Symbolic scalars: sizes as expressions over named symbols, and guards over the inputs.

Two notations are read, by one tokenizer and one precedence parser:

- `parse_srepr`: SymPy's `srepr`, as torch writes sizes: `Mul(Integer(2), Symbol('s77', positive=True))`;
- `parse_guard`: Python text, as torch writes guards: `L['y'].size()[0] == (2*L['x'].size()[0])`. An access
  chain is one `Symbol` whose name is the chain in canonical text: no spaces, strings in single quotes.

Both give the same expressions, under SymPy's and torch's operator names (`Add`, `FloorDiv`, `GreaterThan` for
`>=`, ...). The text is untrusted: nothing is evaluated by Python; length, depth and numbers are bounded.
`evaluate` is exact: integers and fractions stay exact until an operator makes a float of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lowering.ir.errors import BridgeError

MAX_BITS = 4096


@dataclass(frozen=True, slots=True)
class Symbol:
    """A scalar unknown until the call: `s77` (from the inputs' shapes) or `u0` (from the data)."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation over expressions, by SymPy's name: `Add`, `Mul`, `FloorDiv`, `Max`, `GreaterThan`..."""

    op: str
    args: tuple[Term, ...]

    def __str__(self) -> str:
        return to_text(self)


Expr = Symbol | Apply
Dim = int | Expr
# Inside guards and floating expressions there are other literals than integers.
Term = int | float | bool | Expr
Scalar = int | float | bool


class SymbolError(BridgeError, ValueError):
    """An expression that cannot be read or evaluated; the message says where and why."""


class UnboundSymbol(SymbolError):
    """A symbol has no value. `name` is which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"symbol {name} has no value")
        self.name = name


def is_unbacked(name: str) -> bool:
    """Whether a symbol's value comes from data (`u0`, `zuf1`) rather than from an input's shape (`s77`)."""
    return re.fullmatch(r"(u|zuf|i)\d+", name) is not None


def free_symbols(term: Term) -> frozenset[str]:
    """Names of the symbols of an expression."""
    if isinstance(term, Symbol):
        return frozenset((term.name,))
    if isinstance(term, Apply):
        return frozenset().union(*map(free_symbols, term.args))
    return frozenset()


def substituted(term: Term, terms: Mapping[str, Term]) -> Term:
    """An expression with other terms for some of its symbols."""
    if isinstance(term, Symbol):
        return terms.get(term.name, term)
    if isinstance(term, Apply):
        return Apply(term.op, tuple(substituted(arg, terms) for arg in term.args))
    return term


# ---------------------------------------------------------------------------------------------- evaluation

_Number = int | float | bool | Fraction


def _divide(a: _Number, b: _Number) -> _Number:
    return a / b


def _power(base: _Number, exponent: _Number) -> _Number:
    if isinstance(base, (int, Fraction)) and isinstance(exponent, Fraction) and exponent.denominator != 1:
        base, exponent = float(base), float(exponent)
    if not isinstance(base, float) and not isinstance(exponent, float):
        exponent = int(exponent)
        parts = (base.numerator, base.denominator)
        if max(abs(part).bit_length() for part in parts) * abs(exponent) > MAX_BITS:
            raise SymbolError(f"{base}**{exponent} is too large")
        base = Fraction(base)
    result = base**exponent
    if isinstance(result, complex):
        raise SymbolError(f"{base}**{exponent} is not real")
    return result


def _piecewise(*pieces: _Number) -> _Number:
    for value, condition in zip(pieces[::2], pieces[1::2], strict=True):
        if condition:
            return value
    raise SymbolError("no piece of Piecewise applies")


def _xor(*values: _Number) -> bool:
    return sum(map(bool, values)) % 2 == 1


# The function of each operator. Python's integer division and modulus floor, as FloorDiv and PythonMod do.
# SymPy's Mod is defined on non-negative numbers only, and is the same there.
OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda *a: sum(a),
    "Mul": lambda *a: math.prod(a),
    "Pow": _power,
    "PowByNatural": _power,
    "FloatPow": lambda a, b: _power(float(a), float(b)),
    "Rational": lambda p, q: Fraction(p, q),
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "CeilDiv": lambda a, b: -(-a // b),
    "Mod": lambda a, b: a % b,
    "PythonMod": lambda a, b: a % b,
    "ModularIndexing": lambda a, b, c: (a // b) % c,
    "IntTrueDiv": _divide,
    "FloatTrueDiv": lambda a, b: float(a) / float(b),
    "ToFloat": float,
    "FloorToInt": math.floor,
    "CeilToInt": math.ceil,
    "TruncToInt": math.trunc,
    "TruncToFloat": lambda a: float(math.trunc(a)),
    "RoundToInt": round,
    "RoundDecimal": round,
    "floor": math.floor,
    "ceiling": math.ceil,
    "Abs": abs,
    "Identity": lambda a: a,
    "Max": lambda *a: max(a),
    "Min": lambda *a: min(a),
    "LShift": lambda a, b: a * _power(2, b),
    "RShift": lambda a, b: a // _power(2, b),
    "BitwiseFn_bitwise_and": lambda a, b: int(a) & int(b),
    "BitwiseFn_bitwise_or": lambda a, b: int(a) | int(b),
    "BitwiseFn_bitwise_xor": lambda a, b: int(a) ^ int(b),
    "Equality": lambda a, b: a == b,
    "Unequality": lambda a, b: a != b,
    "GreaterThan": lambda a, b: a >= b,
    "LessThan": lambda a, b: a <= b,
    "StrictGreaterThan": lambda a, b: a > b,
    "StrictLessThan": lambda a, b: a < b,
    "And": lambda *a: all(a),
    "Or": lambda *a: any(a),
    "Not": lambda a: not a,
    "Xor": _xor,
    "Where": lambda c, a, b: a if c else b,
    "Piecewise": _piecewise,  # value, condition, value, condition, ...
    **{
        f"OpaqueUnaryFn_{name}": getattr(math, name)
        for name in (
            "sqrt",
            "cos",
            "cosh",
            "sin",
            "sinh",
            "tan",
            "tanh",
            "asin",
            "acos",
            "atan",
            "exp",
            "log",
        )
    },
    "OpaqueUnaryFn_log2": math.log2,
}

# Only as many arguments as decide are evaluated, as Python would: `n != 0 and m // n > 1`.
_LAZY = frozenset(("And", "Or", "Where", "Piecewise"))


def evaluate(term: Term, env: Mapping[str, Scalar]) -> Scalar:
    """The value of an expression where `env` says what its symbols are.

    Raises UnboundSymbol for a missing one. Raises SymbolError where the value is undefined (division by zero)
    or the operator has no meaning outside torch.
    """
    try:
        value = _evaluate(term, env)
    except (ZeroDivisionError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, SymbolError):
            raise
        raise SymbolError(f"{to_text(term)}: {error}") from None
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    return value


def _evaluate(term: Term, env: Mapping[str, Scalar]) -> _Number:
    if isinstance(term, Symbol):
        if term.name not in env:
            raise UnboundSymbol(term.name)
        return env[term.name]
    if not isinstance(term, Apply):
        return term
    if term.op in _LAZY:
        return _evaluate_lazily(term, env)
    function = OPERATORS.get(term.op)
    if function is None:
        raise SymbolError(f"{term.op} has no value outside torch")
    value = function(*[_evaluate(arg, env) for arg in term.args])
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise SymbolError(f"a value of {term.op} has more than {MAX_BITS} bits")
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def _evaluate_lazily(term: Apply, env: Mapping[str, Scalar]) -> _Number:
    if term.op == "And":
        return all(_evaluate(arg, env) for arg in term.args)
    if term.op == "Or":
        return any(_evaluate(arg, env) for arg in term.args)
    if term.op == "Where":
        condition, yes, no = term.args
        return _evaluate(yes if _evaluate(condition, env) else no, env)
    for value, condition in zip(term.args[::2], term.args[1::2], strict=True):
        if _evaluate(condition, env):
            return _evaluate(value, env)
    return _piecewise()


# ---------------------------------------------------------------------------------------------- text


def negated(term: Term) -> Term:
    """`-term`, without a chain of multiplications by -1."""
    if not isinstance(term, Expr):
        return -term
    factors = term.args if isinstance(term, Apply) and term.op == "Mul" else (term,)
    if isinstance(factors[0], Expr):
        return Apply("Mul", (-1, *factors))
    return Apply("Mul", (-factors[0], *factors[1:]))


# Operator, its text, how tightly it binds, how tightly its operands must.
_INFIX = {
    "Or": ("or", 1, 2),
    "And": ("and", 2, 3),
    "Equality": ("==", 4, 5),
    "Unequality": ("!=", 4, 5),
    "GreaterThan": (">=", 4, 5),
    "LessThan": ("<=", 4, 5),
    "StrictGreaterThan": (">", 4, 5),
    "StrictLessThan": ("<", 4, 5),
    "Add": ("+", 8, 9),
    "Mul": ("*", 9, 10),
    "FloorDiv": ("//", 9, 10),
    "IntTrueDiv": ("/", 9, 10),
    "PythonMod": ("%", 9, 10),
    "Rational": ("/", 9, 10),
    "Pow": ("**", 11, 12),
}


def to_text(term: Term) -> str:
    """Readable infix text, such as `2*s0 + 1`; `parse_guard` reads it back to the same value."""
    return _text(term, 0)


def _text(term: Term, binding: int) -> str:
    if not isinstance(term, Apply):
        text = str(term) if not isinstance(term, float) or math.isfinite(term) else f"math.{abs(term)}"
        negative = not isinstance(term, Symbol) and term < 0
        text = "-" + text if text == "math.inf" and negative else text
        return f"({text})" if negative and binding > 9 else text
    if term.op == "Not":
        text, own = "not " + _text(term.args[0], 3), 3
    elif term.op in _INFIX and len(term.args) > 1:
        mark, own, inner = _INFIX[term.op]
        mark = mark if own in (9, 11) else f" {mark} "
        mark = f" {mark} " if mark in ("//", "/", "%") else mark
        text = mark.join(_text(arg, inner) for arg in term.args)
        if term.op == "Mul" and text.startswith("(-") and not isinstance(term.args[0], Expr):
            coefficient, _, rest = text[1:].partition(")*")
            text = f"-{rest}" if coefficient == "-1" else f"{coefficient}*{rest}"
        if term.op == "Add":
            text = _subtracting(term)
    else:
        text, own = f"{term.op}({', '.join(_text(arg, 0) for arg in term.args)})", 12
    return f"({text})" if own < binding else text


def _subtracting(term: Apply) -> str:
    """A sum as text, with `a - b` for `a + (-1)*b`."""
    text = _text(term.args[0], 9)
    for arg in term.args[1:]:
        lead = arg.args[0] if isinstance(arg, Apply) and arg.op == "Mul" else arg
        if not isinstance(lead, Expr) and lead < 0:
            positive = negated(arg)
            if isinstance(positive, Apply) and positive.args[0] == 1:
                rest = positive.args[1:]
                positive = rest[0] if len(rest) == 1 else Apply("Mul", rest)
            text += " - " + _text(positive, 10 if isinstance(positive, Apply) and positive.op != "Mul" else 9)
        else:
            text += " + " + _text(arg, 9)
    return text
