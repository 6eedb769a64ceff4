"""Sizes of a program's dynamic axes, as a user names them: `tokens.1=16..512:16`, or `s27=1,8`.

A name is an input with a number of an axis, or a symbol. Axes that share a symbol have their sizes together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import prod

from bridge.errors import UsageError
from bridge.planned import example_sizes
from lowering.ir.errors import did_you_mean
from lowering.ir.program import InputKind, Program
from lowering.ir.symbol_solving import solve
from lowering.ir.symbols import Dim, free_symbols
from lowering.ir.types import TensorType

# A binary for each of more sizes is a mistake: modules for all sizes are for that.
MOST = 256
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?::(\d+))?")


def read_sizes(program: Program, words: Sequence[str]) -> list[dict[str, int]]:
    """Every combination of the sizes that these words name, by symbol; other symbols have the example's size.

    Raises UsageError for a name or a size that the program does not have, and for more than 256 combinations.
    """
    choices: dict[str, list[int]] = {}
    for word in words:
        name, numbers = read_numbers(word)
        found = [symbol_value(program, name, size) for size in numbers]
        choices[found[0][0]] = list(dict.fromkeys(value for _, value in found))
    if prod(map(len, choices.values())) > MOST:
        raise UsageError(
            f"these are {prod(map(len, choices.values()))} combinations of sizes; {MOST} is the most"
        )
    example = example_sizes(program)
    return [{**example, **dict(zip(choices, values, strict=True))} for values in product(*choices.values())]


def read_numbers(word: str) -> tuple[str, list[int]]:
    """The name and the sizes of `NAME=1,8` or `NAME=16..512:16`. Raises UsageError for anything else."""
    name, is_named, spec = word.partition("=")
    if not is_named:
        raise UsageError(f"sizes are given as NAME=1,8 or NAME=16..512:16, not {word!r}")
    return name, _numbers(word, spec)


def sizes_by_symbol(program: Program, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes by symbol, of a mapping by input and axis (`tokens.1`) or by symbol. Raises UsageError."""
    named = dict(symbol_value(program, name, size) for name, size in sizes.items())
    return {**example_sizes(program), **named}


def dynamic_axes(program: Program) -> dict[str, Dim]:
    """The size of each dynamic axis of the inputs, by its name."""
    return {
        f"{spec.name}.{axis}": size
        for spec in program.signature.inputs
        if spec.kind is InputKind.USER and isinstance(type_ := program.graph.values[spec.name], TensorType)
        for axis, size in enumerate(type_.sizes)
        if not isinstance(size, int)
    }


def symbol_value(program: Program, name: str, size: int) -> tuple[str, int]:
    """The symbol of a name, and its value where the axis has this size. Raises UsageError."""
    axes = dynamic_axes(program)
    symbols = sorted({symbol for term in axes.values() for symbol in free_symbols(term)})
    if name in symbols:
        symbol, value = name, size
    else:
        term = axes.get(name)
        if term is None:
            raise UsageError(_unknown(name, [*axes, *symbols]))
        symbol = min(free_symbols(term))
        found = solve(term, size, symbol, example_sizes(program))
        if found is None:
            raise UsageError(f"{name} cannot be {size}: it is {term}")
        value = found
    low, high = program.ranges.get(symbol, (None, None))
    if value < (low or 0) or (high is not None and value > high):
        raise UsageError(f"{name} cannot be {size}: the program allows {low or 0} to {high or 'any size'}")
    return symbol, value


def _unknown(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if not names:
        return f"the program has no dynamic size, and so none named {name!r}"
    return f"the program has no dynamic size {name!r}; it has {', '.join(names)}{did_you_mean(name, names)}"


def _numbers(word: str, spec: str) -> list[int]:
    numbers: list[int] = []
    for part in spec.split(","):
        if part.isdecimal():
            numbers.append(int(part))
        elif (found := _RANGE.fullmatch(part)) and int(found[1]) <= int(found[2]) and found[3] != "0":
            step = int(found[3] or 1)
            if (int(found[2]) - int(found[1])) // step >= MOST:
                raise UsageError(f"{word} is more than {MOST} sizes")
            numbers += range(int(found[1]), int(found[2]) + 1, step)
        else:
            raise UsageError(f"{word}: {part!r} is neither a size nor a range such as 16..512:16")
    return numbers
