"""Expressions of source before their variables have names: text with places for values and for numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lowering.ir.program import Arg, Ref
from lowering.ir.types import Device, DType, Layout, MemoryFormat
from lowering.python.errors import NoSource

# How tightly operators bind; an operand that binds less has parentheses.
ANY, COMPARE, OR, XOR, AND, SHIFT, SUM, PRODUCT, SIGN, POWER, POSTFIX = range(11)


@dataclass(frozen=True, slots=True)
class Use:
    """A place where a value is read."""

    value: str
    level: int = ANY


@dataclass(frozen=True, slots=True)
class Number:
    """A number that may differ between modules of one class. `name`: of the argument that it is."""

    name: str
    value: int | float | tuple[int, ...]
    level: int = ANY


Part = str | Use | Number


@dataclass(frozen=True, slots=True)
class Expression:
    """Text in parts, in the order in which Python evaluates them."""

    parts: tuple[Part, ...]
    level: int = POSTFIX

    def uses(self) -> Iterator[str]:
        """The values that it reads, in order."""
        return (part.value for part in self.parts if isinstance(part, Use))

    def numbers(self) -> Iterator[Number]:
        """The numbers in it, in order."""
        return (part for part in self.parts if isinstance(part, Number))


def quoted(text: str) -> str:
    """A string as Python text, in double quotes where it needs no escape."""
    plain = text.isascii() and text.isprintable() and not set(text) & set('"\\')
    return f'"{text}"' if plain else repr(text)


def literal(value: object) -> str:
    """A constant as Python text."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, complex):
        return f"complex({literal(value.real)}, {literal(value.imag)})"
    if isinstance(value, DType):
        return f"torch.{value.value}"
    if isinstance(value, Layout | MemoryFormat):
        return f"torch.{value.value}"
    if isinstance(value, Device):
        return quoted(str(value))
    if isinstance(value, tuple):
        items = ", ".join(map(literal, value))
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    raise NoSource(f"source cannot say a constant of the kind {type(value).__name__}")


def argument(value: Arg, name: str = "value", level: int = ANY) -> tuple[Part, ...]:
    """An argument's parts. Raises NoSource for a graph, an operator or a dictionary."""
    if isinstance(value, Ref):
        return (Use(value.name, level),)
    if isinstance(value, tuple):
        return ("[", *joined(argument(item, name) for item in value), "]")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (Number(name, value, level),)
    return (literal(value),)


def joined(items: Iterable[tuple[Part, ...]]) -> tuple[Part, ...]:
    """Items with commas between them."""
    parts: list[Part] = []
    for item in items:
        parts += [", ", *item] if parts else item
    return tuple(parts)


def number_text(number: Number, name: str | None) -> str:
    """A number's text, or the name that it goes by; in parentheses where its sign would bind otherwise."""
    if name is not None:
        return name
    text = literal(number.value)
    return f"({text})" if text.startswith("-") and number.level > SIGN else text


def rendered(expression: Expression, read: Callable[[Use], str], number: Callable[[int, Number], str]) -> str:
    """The text, where `read` says each value and `number` each number, which it is given with its index."""
    count = 0
    texts: list[str] = []
    for part in expression.parts:
        if isinstance(part, Use):
            texts.append(read(part))
        elif isinstance(part, Number):
            texts.append(number(count, part))
            count += 1
        else:
            texts.append(part)
    return "".join(texts)
