"""Reading the JSON that `lowering.ir.json` writes. Nothing is trusted; every fault raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NoReturn, TypeVar

from lowering.ir.errors import BridgeError
from lowering.ir.location import NO_LOCATION, Location
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import (
    Arg,
    Argument,
    Graph,
    Guard,
    InputKind,
    InputSpec,
    Node,
    Operator,
    Output,
    OutputKind,
    OutputSpec,
    Program,
    Range,
    Ref,
    Signature,
)
from lowering.ir.symbols import Apply, Dim, Expr, Symbol, Term
from lowering.ir.tree import TreeSpec
from lowering.ir.types import (
    Device,
    DType,
    Layout,
    MemoryFormat,
    ObjectType,
    SymKind,
    SymType,
    TensorType,
    TokenType,
    ValueType,
)

FORMAT = 1
MAX_DEPTH = 128

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class JSONError(BridgeError, ValueError):
    """The data is not a program or plan; the message begins with the place, as a path from `$`."""


def from_json(data: Any) -> Program:
    """The program that `to_json` wrote. Raises JSONError."""
    return _checked(_Reader(data, "$").program)


def plan_from_json(data: Any) -> Plan:
    """The plan that `plan_to_json` wrote. Raises JSONError."""
    return _checked(_Reader(data, "$").plan)


def term_from_json(data: Any) -> Term:
    """The expression that `term_to_json` wrote. Raises JSONError."""
    return _checked(_Reader(data, "$").term)


def dim_from_json(data: Any) -> Dim:
    """The size that `term_to_json` wrote. Raises JSONError."""
    return _checked(_Reader(data, "$").dim)


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except RecursionError:
        raise JSONError("$: nested too deeply") from None


class _Reader:
    """A place in the data, and readers of the values that may stand there."""

    __slots__ = ("data", "depth", "path")

    def __init__(self, data: Any, path: str, depth: int = 0) -> None:
        self.data, self.path, self.depth = data, path, depth
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")

    def fail(self, message: str) -> NoReturn:
        raise JSONError(f"{self.path}: {message}")

    def expected(self, what: str) -> NoReturn:
        shown = repr(self.data)
        self.fail(f"expected {what}, found {shown if len(shown) <= 60 else shown[:57] + '...'}")

    # ---------------------------------------------------------------- places below

    def at(self, key: str) -> _Reader:
        if not isinstance(self.data, dict):
            self.expected("an object")
        if key not in self.data:
            self.fail(f"{key!r} is missing")
        return _Reader(self.data[key], f"{self.path}.{key}", self.depth + 1)

    def maybe(self, key: str, read: Callable[[_Reader], T], default: T) -> T:
        if not isinstance(self.data, dict):
            self.expected("an object")
        return read(self.at(key)) if key in self.data else default

    def each(self, read: Callable[[_Reader], T], start: int = 0) -> tuple[T, ...]:
        if not isinstance(self.data, list):
            self.expected("a list")
        return tuple(
            read(_Reader(item, f"{self.path}[{index}]", self.depth + 1))
            for index, item in enumerate(self.data)
            if index >= start
        )

    def items(self, read: Callable[[_Reader], T]) -> dict[str, T]:
        if not isinstance(self.data, dict):
            self.expected("an object")
        found: dict[str, T] = {}
        for key, item in self.data.items():
            if not isinstance(key, str):
                self.fail(f"the key {key!r} is not text")
            found[key] = read(_Reader(item, f"{self.path}.{key}", self.depth + 1))
        return found

    def row(self, *lengths: int) -> tuple[_Reader, ...]:
        """The elements of a list of one of these lengths."""
        if not isinstance(self.data, list) or len(self.data) not in lengths:
            self.expected(f"a list of {' or '.join(map(str, lengths))} items")
        return self.each(lambda reader: reader)

    # ---------------------------------------------------------------- plain values

    def text(self) -> str:
        return self.data if isinstance(self.data, str) else self.expected("text")

    def text_or_none(self) -> str | None:
        return None if self.data is None else self.text()

    def integer(self) -> int:
        return self.data if type(self.data) is int else self.expected("an integer")

    def integer_or_none(self) -> int | None:
        return None if self.data is None else self.integer()

    def boolean(self) -> bool:
        return self.data if isinstance(self.data, bool) else self.expected("true or false")

    def enum(self, kind: type[E]) -> E:
        try:
            return kind(self.text())
        except ValueError:
            self.fail(f"{self.data!r} is not one of {', '.join(str(item.value) for item in kind)}")

    def format(self) -> None:
        version = self.at("format")
        if version.data != FORMAT:
            version.fail(f"this version reads format {FORMAT}, not {version.data!r}")

    # ---------------------------------------------------------------- the IR

    def program(self) -> Program:
        self.format()
        major, minor = self.at("schema_version").row(2)
        return Program(
            self.at("graph").graph(),
            self.at("signature").signature(),
            self.at("ranges").items(_Reader.range),
            self.at("hints").items(_Reader.integer),
            self.at("guards").each(_Reader.guard),
            self.at("torch_version").text(),
            (major.integer(), minor.integer()),
            self.at("name").text(),
        )

    def plan(self) -> Plan:
        self.format()
        return Plan(self.at("segments").each(_Reader.segment), self.at("reasons").items(_Reader.text))

    def segment(self) -> Segment:
        return Segment(
            self.at("index").integer(),
            self.at("placement").enum(Placement),
            self.at("nodes").each(_Reader.text),
            self.at("inputs").each(_Reader.text),
            self.at("outputs").each(_Reader.text),
        )

    def range(self) -> Range:
        low, high = self.row(2)
        return Range(low.integer_or_none(), high.integer_or_none())

    def guard(self) -> Guard:
        text, condition = self.row(2)
        term = condition.term()
        if not isinstance(term, Expr):
            condition.expected("an expression")
        return Guard(text.text(), term)

    def signature(self) -> Signature:
        return Signature(
            self.at("inputs").each(_Reader.input_spec),
            self.at("outputs").each(_Reader.output_spec),
            self.at("in_spec").tree(),
            self.at("out_spec").tree(),
            self.at("argument_names").each(_Reader.text),
        )

    def input_spec(self) -> InputSpec:
        kind, name, fqn, persistent, literal = self.row(5)
        value = literal.arg()
        if isinstance(value, (Ref, Operator, Graph, tuple, dict)):
            literal.expected("a literal")
        return InputSpec(kind.enum(InputKind), name.text(), fqn.text_or_none(), persistent.boolean(), value)

    def output_spec(self) -> OutputSpec:
        kind, value, destination = self.row(3)
        return OutputSpec(kind.enum(OutputKind), value.arg(), destination.text_or_none())

    def tree(self) -> TreeSpec:
        if self.data is None:
            return TreeSpec(None)
        if not isinstance(self.data, list) or len(self.data) < 3:
            self.expected("null or a list of at least 3 items")
        kind, context, fields = self.each(lambda reader: reader)[:3]
        children = self.each(_Reader.tree, start=3)
        names = fields.each(_Reader.text)
        return TreeSpec(kind.text_or_none(), context.text_or_none(), children, names)

    def graph(self) -> Graph:
        return Graph(
            self.at("inputs").each(_Reader.arg),
            self.at("outputs").each(_Reader.arg),
            self.at("nodes").each(_Reader.node),
            self.at("values").items(_Reader.type),
            self.at("name").text(),
            self.at("returns_single").boolean(),
        )

    def node(self) -> Node:
        return Node(
            self.at("name").text(),
            self.at("target").text(),
            self.at("args").each(_Reader.argument),
            self.at("outputs").each(_Reader.output),
            self.maybe("location", _Reader.location, NO_LOCATION),
            self.maybe("functional", _Reader.boolean, False),
        )

    def location(self) -> Location:
        trace, module = self.row(2)
        return Location(trace.text(), module.text())

    def argument(self) -> Argument:
        name, value, *keyword = self.row(2, 3)
        return Argument(name.text(), value.arg(), bool(keyword) and keyword[0].boolean())

    def output(self) -> Output:
        if isinstance(self.data, list):
            return self.each(_Reader.text_or_none)
        return self.text_or_none()

    def arg(self) -> Arg:
        if self.data is None or isinstance(self.data, (bool, int, float, str)):
            return self.data
        if isinstance(self.data, list):
            return self.each(_Reader.arg)
        if not isinstance(self.data, dict) or len(self.data) != 1:
            self.expected("a literal, a list or an object with one key")
        (key,) = self.data
        if key not in _ARGS:
            self.fail(f"{key!r} is not one of {', '.join(_ARGS)}")
        return _ARGS[key](self.at(key))

    def number(self) -> float:
        value = self.arg()
        return value if isinstance(value, float) else self.expected("a floating-point number")

    def special_float(self) -> float:
        if self.data not in ("inf", "-inf", "nan"):
            self.expected("inf, -inf or nan")
        return float(self.data)

    def complex(self) -> complex:
        real, imag = self.row(2)
        return complex(real.number(), imag.number())

    def device(self) -> Device:
        kind, index = self.row(2)
        return Device(kind.text(), index.integer_or_none())

    def term(self) -> Term:
        if isinstance(self.data, str):
            return Symbol(self.data)
        if isinstance(self.data, list):
            if not self.data or not isinstance(self.data[0], str):
                self.expected("an operator and its arguments")
            return Apply(self.data[0], self.each(_Reader.term, start=1))
        value = self.arg()
        return value if isinstance(value, (int, float)) else self.expected("a number, symbol or expression")

    def dim(self) -> int | Expr:
        term = self.term()
        if isinstance(term, (bool, float)):
            self.expected("a size")
        return term

    def type(self) -> ValueType:
        if not isinstance(self.data, dict):
            self.expected("a type")
        if "sym" in self.data:
            return SymType(self.at("sym").enum(SymKind), self.at("value").term())
        if "object" in self.data:
            return ObjectType(self.at("object").text())
        if "token" in self.data:
            return TokenType()
        return TensorType(
            self.at("dtype").enum(DType),
            self.at("sizes").each(_Reader.dim),
            self.at("strides").each(_Reader.dim),
            self.maybe("offset", _Reader.dim, 0),
            self.at("device").device(),
            self.maybe("layout", lambda reader: reader.enum(Layout), Layout.STRIDED),
            self.maybe("requires_grad", _Reader.boolean, False),
        )


_ARGS: Mapping[str, Callable[[_Reader], Arg]] = {
    "ref": lambda reader: Ref(reader.text()),
    "float": _Reader.special_float,
    "complex": _Reader.complex,
    "dict": lambda reader: reader.items(_Reader.arg),
    "dtype": lambda reader: reader.enum(DType),
    "layout": lambda reader: reader.enum(Layout),
    "memory_format": lambda reader: reader.enum(MemoryFormat),
    "device": _Reader.device,
    "operator": lambda reader: Operator(reader.text()),
    "graph": _Reader.graph,
}
