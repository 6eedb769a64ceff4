"""Symbolic expressions: both notations, exact evaluation, and what is refused."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowering.ir.symbol_parser import parse_guard, parse_srepr
from lowering.ir.symbols import (
    Apply,
    Symbol,
    SymbolError,
    UnboundSymbol,
    evaluate,
    free_symbols,
    is_unbacked,
    to_text,
)

S77 = "Symbol('s77', positive=True, integer=True)"
S1 = "Symbol('s1', integer=True, positive=True)"
X, Y = "L['x'].size()[0]", "L['y'].stride()[1]"


@pytest.mark.parametrize(
    ("text", "shown", "value"),
    [
        ("Integer(-7)", "-7", -7),
        (S77, "s77", 5),
        (f"Mul(Integer(2), {S77})", "2*s77", 10),
        (f"Add(Mul(Integer(-1), {S1}), {S77}, Integer(-3))", "-s1 + s77 - 3", -1),
        (f"Add({S77}, Mul(Integer(-2), {S1}))", "s77 - 2*s1", -1),
        (f"Add({S77}, Mul(Integer(-1), {S1}))", "s77 - s1", 2),
        (f"Mul(Rational(1, 2), Add({S77}, Integer(1)))", "(1 / 2)*(s77 + 1)", 3),
        (f"Mul(Rational(1, 2), {S77})", "(1 / 2)*s77", 2.5),
        (f"FloorDiv(Mul(Integer(-1), {S77}), Integer(2))", "(-s77) // 2", -3),
        (f"PythonMod(Mul(Integer(-1), {S77}), Integer(3))", "(-s77) % 3", 1),
        (f"Mod({S77}, Integer(3))", "Mod(s77, 3)", 2),
        (f"CleanDiv({S77}, {S1})", "CleanDiv(s77, s1)", 1),
        (
            f"CeilToInt(FloatTrueDiv(ToFloat({S77}), ToFloat({S1})))",
            "CeilToInt(FloatTrueDiv(ToFloat(s77), ToFloat(s1)))",
            2,
        ),
        (f"IntTrueDiv({S77}, {S1})", "s77 / s1", 5 / 3),
        (f"Max(Integer(3), {S1}, {S77})", "Max(3, s1, s77)", 5),
        (f"Equality({S77}, {S1})", "s77 == s1", False),
        (
            f"And(StrictGreaterThan({S77}, Integer(3)), LessThan({S1}, Integer(2)))",
            "s77 > 3 and s1 <= 2",
            False,
        ),
        (f"Not(Or({S77}, false))", "not (s77 or False)", False),
        (
            f"Piecewise(ExprCondPair({S77}, GreaterThan({S77}, Integer(9))), ExprCondPair({S1}, true))",
            None,
            3,
        ),
        (f"Where(GreaterThan({S77}, Integer(3)), {S77}, {S1})", "Where(s77 >= 3, s77, s1)", 5),
        ("oo", "math.inf", math.inf),
        ("-int_oo", "-math.inf", -math.inf),
        ("NegativeIntInfinity()", "-math.inf", -math.inf),
        (f"Mul(Float('0.10000000000000001', precision=53), {S77})", "0.1*s77", 0.5),
        (f"Pow({S77}, Integer(2))", "s77**2", 25),
        (f"Mul({S1}, Pow({S77}, Integer(-1)))", "s1*s77**(-1)", 0.6),
        (f"PowByNatural({S77}, {S1})", "PowByNatural(s77, s1)", 125),
        (f"RoundToInt(FloatTrueDiv(ToFloat({S77}), Float('2.0', precision=53)))", None, 2),
        (f"ModularIndexing({S77}, Integer(2), {S1})", "ModularIndexing(s77, 2, s1)", 2),
        (f"TruncToInt(Mul(Float('-0.5', precision=53), {S77}))", None, -2),
        (f"OpaqueUnaryFn_sqrt(ToFloat({S77}))", None, math.sqrt(5)),
    ],
)
def test_srepr(text, shown, value):
    term = parse_srepr(text)
    result = evaluate(term, {"s77": 5, "s1": 3})
    assert (result, type(result)) == (value, type(value))
    if shown is not None:
        assert to_text(term) == shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"2*{X} <= L['y'].size()[0]", True),
        (f"(({X}*L['y'].size()[0]) % 4) == 0", True),
        (f"({X} // 2) != {Y}", True),
        (f"({X} / 2) > 1.5", True),
        (f"max(L['y'].size()[0], {X}) < 100 and not ({X} < 3 or {X} == 7)", True),
        (f"math.trunc(0.5*torch.sym_float({X})) == 2", True),
        (f"({X} if {X} > 9 else {Y}) == 3", True),
        (f"2 <= {X} <= 4", False),
        (f"{X} + ((-1)*{Y}) == 2", True),
        (f"{X} - {Y} - 1 == 1", True),
        (f"-{X} ** 2 == -25", True),
        (f"-{X} // 2 == -3", True),
        (f"2 ** {Y} ** 2 == 512", True),
        (f"({X} & 4) == 4", True),
        (f"Mod({X}, 2) == 1", True),
        ("L['d']['k'].storage_offset() == 0", True),
        ("s0 + 1 == 9", True),
        (f"{X} == 0 or 1 // ({X} - 5) > 1 if {X} > 5 else True", True),
    ],
)
def test_guard(text, value):
    env = {X: 5, Y: 3, "L['y'].size()[0]": 12, "L['d']['k'].storage_offset()": 0, "s0": 8}
    assert evaluate(parse_guard(text), env) == value
    assert evaluate(parse_guard(to_text(parse_guard(text))), env) == value


def test_access_chains_have_one_canonical_name():
    names = free_symbols(parse_guard("L[\"x\"] . size( )[ 0 ] + L['a\\'b'][-1].size()[1] > 0"))
    assert names == {"L['x'].size()[0]", """L["a'b"][-1].size()[1]"""}


def test_evaluation_stops_where_python_would():
    assert evaluate(parse_guard("s0 == 0 or 8 // s0 == 4"), {"s0": 0}) is True


def test_large_values_are_exact():
    assert evaluate(parse_srepr(f"FloorDiv(Mul({S77}, {S77}), Integer(3))"), {"s77": 10**15 + 1}) == (
        (10**15 + 1) ** 2 // 3
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Integer(2", "expected ')', found the end at column 10"),
        ("__import__('os')", "unknown function '__import__' at column 1"),
        ("Mul(Integer(2), lambda)", "unknown name 'lambda' at column 17"),
        ("Mod(Integer(2))", "Mod takes 2 arguments, not 1"),
        ("Integer(2) Integer(3)", "expected the end"),
        ("Integer(2.5)", "expected an integer"),
        ("Symbol(s0)", "expected a symbol's name in quotes"),
        ("Float('abc')", "expected a number"),
        ("$", "unexpected character at column 1"),
        ("", "expected a value, found the end"),
        ("Piecewise(Integer(1))", "Piecewise of something other than pairs"),
        ("Not(" * 100 + "true" + ")" * 100, "nested deeper than"),
        ("(" * 5000, "nested deeper than"),
        ("2**" * 5000 + "2", "nested deeper than"),
        ("1+" * 40000 + "1", "80001 characters"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(
        SymbolError, match=message.replace("(", r"\(").replace(")", r"\)").replace("$", r"\$")
    ):
        parse_srepr(text)


def test_guards_refuse_what_is_not_an_expression():
    for text in ("x = 1", "L[0:1]", "L[x]", "f(1)", "[1]", "'a' == 'b'", "not " * 200 + "x", "lambda: 1"):
        with pytest.raises(SymbolError):
            parse_guard(text)


def test_evaluation_errors():
    with pytest.raises(UnboundSymbol, match="symbol u3 has no value") as caught:
        evaluate(Symbol("u3"), {})
    assert caught.value.name == "u3"
    with pytest.raises(SymbolError, match="s0 // 0"):
        evaluate(parse_guard("s0 // 0 == 1"), {"s0": 1})
    with pytest.raises(SymbolError, match="too large"):
        evaluate(parse_guard("9 ** 9 ** 9 == 1"), {})
    with pytest.raises(SymbolError, match="not real"):
        evaluate(Apply("Pow", (-1, 0.5)), {})


def test_unbacked_names():
    assert [is_unbacked(name) for name in ("u0", "zuf12", "s77", "zf3", "ux")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def _terms():
    leaves = st.integers(-9, 9) | st.sampled_from([Symbol("s0"), Symbol("s1")])
    names = ["Add", "Mul", "FloorDiv", "PythonMod", "Mod", "Max", "Pow", "StrictLessThan", "Or"]

    def binary(left, right):
        return st.builds(lambda op, *args: Apply(op, args), st.sampled_from(names), left, right)

    return st.recursive(binary(leaves, leaves), lambda inner: binary(inner, inner | leaves), max_leaves=6)


@given(_terms(), st.integers(-5, 5), st.integers(1, 7))
def test_text_reads_back_to_the_same_value(term, s0, s1):
    def value(expression):
        try:
            return evaluate(expression, {"s0": s0, "s1": s1})
        except SymbolError:
            return "undefined"

    again = parse_guard(to_text(term))
    assert value(again) == value(term)


@given(st.text(alphabet="LsMulAddIntegr()[]'., +-*/%<>=!0123456789", max_size=60))
def test_any_text_parses_or_raises_symbol_error(text):
    for parse in (parse_srepr, parse_guard):
        with contextlib.suppress(SymbolError):
            to_text(parse(text))
