"""The parser of symbolic expressions, for SymPy's `srepr` and for Python text. See `lowering.ir.symbols`."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from lowering.ir.symbols import OPERATORS, Apply, Expr, Symbol, SymbolError, Term, negated

MAX_TEXT = 1 << 16
MAX_DEPTH = 64

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<mark>\*\*|//|==|!=|<=|>=|[-+*/%<>=&|^(),.\[\]])"
    r"|(?P<end>$))"
)

_COMPARE = {
    "==": "Equality",
    "!=": "Unequality",
    ">=": "GreaterThan",
    "<=": "LessThan",
    ">": "StrictGreaterThan",
    "<": "StrictLessThan",
}
# How tightly each operator binds, and its term. Unary minus binds at 10, `not` at 3.
_INFIX = {
    "if": (0.5, "Where"),
    "or": (1, "Or"),
    "and": (2, "And"),
    **{token: (4, op) for token, op in _COMPARE.items()},
    "|": (5, "BitwiseFn_bitwise_or"),
    "^": (6, "BitwiseFn_bitwise_xor"),
    "&": (7, "BitwiseFn_bitwise_and"),
    "+": (8, "Add"),
    "-": (8, "Add"),
    "*": (9, "Mul"),
    "/": (9, "IntTrueDiv"),
    "//": (9, "FloorDiv"),
    "%": (9, "PythonMod"),
    "**": (11, "Pow"),
}
_NARY = frozenset(("Or", "And", "Add", "Mul"))
_CONSTANTS: dict[str, Term] = {
    **dict.fromkeys(("oo", "int_oo", "IntInfinity", "Infinity", "math.inf"), math.inf),
    **dict.fromkeys(("NegativeIntInfinity", "NegativeInfinity"), -math.inf),
    **dict.fromkeys(("nan", "NaN", "math.nan"), math.nan),
    **dict.fromkeys(("true", "True", "BooleanTrue"), True),
    **dict.fromkeys(("false", "False", "BooleanFalse"), False),
    "Zero": 0,
    "One": 1,
    "NegativeOne": -1,
    "Half": Apply("Rational", (1, 2)),
    "pi": math.pi,
    "E": math.e,
    "math.pi": math.pi,
    "math.e": math.e,
}
# Names in Python text that differ from SymPy's.
_SYNONYMS = {
    "Eq": "Equality",
    "Ne": "Unequality",
    "Ge": "GreaterThan",
    "Le": "LessThan",
    "Gt": "StrictGreaterThan",
    "Lt": "StrictLessThan",
    "max": "Max",
    "min": "Min",
    "abs": "Abs",
    "round": "RoundToInt",
    "float": "ToFloat",
    "int": "TruncToInt",
    "math.floor": "FloorToInt",
    "math.ceil": "CeilToInt",
    "math.trunc": "TruncToInt",
    "math.pow": "FloatPow",
    "torch.sym_float": "ToFloat",
    "torch.sym_int": "TruncToInt",
    "torch.sym_max": "Max",
    "torch.sym_min": "Min",
    "torch.sym_not": "Not",
    "torch.sym_ite": "Where",
    **{
        f"{prefix}{name.removeprefix('OpaqueUnaryFn_')}": name
        for name in OPERATORS
        if name.startswith("OpaqueUnaryFn_")
        for prefix in ("math.", "torch._sym_", "torch.sym_")
    },
}
_ARITY = {"Not": 1, "Where": 3, "ModularIndexing": 3, "Identity": 1, "Abs": 1, "floor": 1, "ceiling": 1} | {
    name: 1 for name in OPERATORS if "To" in name or name.startswith("OpaqueUnaryFn_")
}
_VARIADIC = frozenset(("Add", "Mul", "Max", "Min", "And", "Or", "Xor", "Piecewise"))
# Known by name, of any arity, without a value here.
_OPAQUE = frozenset(("IsNonOverlappingAndDenseIndicator", "ExprCondPair"))


class Parser:
    """Precedence climbing, with Python's precedences."""

    def __init__(self, text: str, python: bool) -> None:
        if len(text) > MAX_TEXT:
            raise SymbolError(f"an expression of {len(text)} characters; at most {MAX_TEXT} are read")
        self.text, self.python = text, python
        self.depth = 0
        self.position = self.next_position = 0
        self.kind = self.token = ""
        self.advance()

    def error(self, message: str) -> SymbolError:
        shown = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        return SymbolError(f"{message} at column {self.position + 1} of {shown!r}")

    def shown(self) -> str:
        return repr(self.token) if self.token else "the end"

    def advance(self) -> str:
        """Go to the next token; returns the one that was current."""
        token = self.token
        match = _TOKEN.match(self.text, self.next_position)
        if match is None or match.lastgroup is None:
            self.position = self.next_position
            raise self.error("unexpected character")
        self.kind, self.token = match.lastgroup, match[match.lastgroup]
        self.position, self.next_position = match.start(self.kind), match.end()
        return token

    def accept(self, *tokens: str) -> str | None:
        if self.kind in ("mark", "name") and self.token in tokens:
            return self.advance()
        return None

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"expected {token!r}, found {self.shown()}")

    def parse(self) -> Term:
        term = self.expression()
        if self.kind != "end":
            raise self.error(f"expected the end, found {self.token!r}")
        return term

    def expression(self, binding: float = 0) -> Term:
        """Read as far as operators bind tighter than `binding`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        left = self.prefix()
        compared: Term | None = None  # the last operand of a chain of comparisons
        chain = ""  # the operator that `left` is an unparenthesised chain of
        while self.kind in ("mark", "name") and _INFIX.get(self.token, (0, ""))[0] > binding:
            token = self.advance()
            strength, op = _INFIX[token]
            if token == "if":
                condition = self.expression(strength)
                self.expect("else")
                left = Apply(op, (condition, left, self.expression()))
                continue
            right = self.expression(10 if token == "**" else strength)
            if compared is not None and token in _COMPARE:
                op, right, compared = "And", Apply(op, (compared, right)), right
            elif token in _COMPARE:
                compared = right
            if token == "-":
                right = negated(right)
            extends = op == chain and op in _NARY
            left = Apply(op, (*left.args, right) if extends and isinstance(left, Apply) else (left, right))
            chain = op
        self.depth -= 1
        return left

    def prefix(self) -> Term:
        if self.accept("not"):
            return Apply("Not", (self.expression(3),))
        if self.accept("-"):
            return negated(self.expression(10))
        if self.accept("+"):
            return self.expression(10)
        return self.atom()

    def atom(self) -> Term:
        if self.kind == "number":
            return self.number(self.advance())
        if self.accept("("):
            term = self.expression()
            self.expect(")")
            return term
        if self.kind != "name" or self.token in ("if", "else", "and", "or"):
            raise self.error(f"expected a value, found {self.shown()}")
        return self.named()

    def number(self, text: str) -> int | float:
        return int(text) if text.isdigit() and len(text) <= 1000 else float(text)

    def named(self) -> Term:
        """A constant, a call, or an access chain such as `L['x'].size()[0]`."""
        start = self.position
        name = self.advance()
        while name in ("torch", "math") and self.accept("."):
            name += "." + self.identifier()
        if name in _CONSTANTS:
            if self.accept("("):
                self.expect(")")
            return _CONSTANTS[name]
        if self.token == "(":
            return self.call(name, start)
        if not self.python:
            self.position = start
            raise self.error(f"unknown name {name!r}")
        return Symbol(name + self.chain())

    def identifier(self) -> str:
        if self.kind != "name":
            raise self.error("expected a name")
        return self.advance()

    def chain(self) -> str:
        parts: list[str] = []
        while token := self.accept(".", "[", "("):
            if token == ".":
                parts.append("." + self.identifier())
            elif token == "(":
                self.expect(")")
                parts.append("()")
            else:
                minus = self.accept("-") or ""
                if self.kind not in ("string", "number"):
                    raise self.error("expected a string or an integer index")
                index = self.advance()
                if not index.isdigit() and index[0] not in "'\"":
                    raise self.error("expected a string or an integer index")
                parts.append(f"[{minus}{index if index.isdigit() else repr(_unquote(index))}]")
                self.expect("]")
        return "".join(parts)

    def call(self, name: str, start: int) -> Term:
        name = _SYNONYMS.get(name, name)
        literal = {"Symbol": self.symbol, "Integer": self.integer, "Float": self.floating}.get(name)
        if literal is None and name not in OPERATORS and name not in _OPAQUE:
            self.position = start
            raise self.error(f"unknown function {name!r}")
        self.expect("(")
        if literal is not None:
            term = literal()
            self.keywords()
            self.expect(")")
            return term
        args: list[Term] = []
        while not self.accept(")"):
            args.append(self.expression())
            if self.token != ")":
                self.expect(",")
        return self.apply(name, args)

    def apply(self, name: str, args: list[Term]) -> Term:
        if name == "RoundToInt" and len(args) == 2:
            name = "RoundDecimal"
        if name == "Piecewise":
            pieces = [arg for arg in args if isinstance(arg, Apply) and arg.op == "ExprCondPair"]
            if len(pieces) != len(args) or not pieces:
                raise self.error("Piecewise of something other than pairs")
            return Apply(name, tuple(item for piece in pieces for item in piece.args))
        wanted = _ARITY.get(name, 2)
        if name in _VARIADIC and not args:
            raise self.error(f"{name} without arguments")
        if name not in _VARIADIC and name != "IsNonOverlappingAndDenseIndicator" and len(args) != wanted:
            raise self.error(f"{name} takes {wanted} arguments, not {len(args)}")
        return Apply(name, tuple(args))

    def symbol(self) -> Term:
        if self.kind != "string":
            raise self.error("expected a symbol's name in quotes")
        return Symbol(_unquote(self.advance()))

    def integer(self) -> Term:
        sign = -1 if self.accept("-") else 1
        if not self.token.isdigit() or len(self.token) > 1000:
            raise self.error("expected an integer")
        return sign * int(self.advance())

    def floating(self) -> Term:
        text = _unquote(self.token) if self.kind == "string" else self.token
        try:
            value = float(text)
        except ValueError:
            raise self.error("expected a number") from None
        self.advance()
        return value

    def keywords(self) -> None:
        """Pass over `, positive=True, precision=53`: nothing depends on SymPy's assumptions."""
        while self.accept(","):
            self.identifier()
            self.expect("=")
            self.advance()


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


@lru_cache(maxsize=1 << 16)
def parse_srepr(text: str) -> Term:
    """Read SymPy's `srepr`. Sizes give a Dim; SymFloats and SymBools the other terms. Raises SymbolError."""
    return Parser(text, python=False).parse()


@lru_cache(maxsize=1 << 12)
def parse_guard(text: str) -> Expr:
    """Read a guard's Python text; names may also be plain symbols (`s0`). Raises SymbolError."""
    term = Parser(text, python=True).parse()
    return term if isinstance(term, Expr) else Apply("And", (term,))
