"""Buckets: the sizes of an axis that calls at other sizes are padded to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from bridge.errors import UsageError
from bridge.planned import example_sizes
from bridge.sizes import MOST, dynamic_axes, read_numbers, symbol_value
from lowering.ir.program import Program
from lowering.ir.symbols import Scalar, Symbol
from lowering.ir.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class Buckets:
    """Sizes of an axis; a call at another size runs at the next larger one, and its results are cut.

    Padding repeats the last row of each input. It is exact where no operator mixes rows, which has to be
    proved. With `fill` the caller states that results are right without a proof: an axis that a mask covers,
    say. `fill`: by input, the elements of its padding; other inputs repeat their last ones.

    Raises UsageError for sizes that are not 1 or more.
    """

    sizes: tuple[int, ...]
    fill: Mapping[str, Scalar] | None = None

    def __init__(self, sizes: Iterable[int], fill: Mapping[str, Scalar] | None = None) -> None:
        given = tuple(sizes)
        wrong = [size for size in given if type(size) is not int or size < 1]
        if wrong or not given:
            raise UsageError(f"buckets are sizes of 1 or more, not {wrong[0] if wrong else 'nothing'!r}")
        object.__setattr__(self, "sizes", tuple(sorted(set(given))))
        object.__setattr__(self, "fill", None if fill is None else dict(fill))


def read_buckets(program: Program, given: Mapping[str, Any]) -> dict[str, Buckets]:
    """Buckets by symbol, of a mapping by input and axis (`tokens.1`) or by symbol.

    A list of sizes stands for `Buckets` of these. Raises UsageError for axes, sizes and inputs that the
    program does not have, and for elements that an input cannot have.
    """
    found: dict[str, Buckets] = {}
    for name, entry in given.items():
        buckets = entry if isinstance(entry, Buckets) else Buckets(entry)
        values = [symbol_value(program, name, size) for size in buckets.sizes]
        symbol = values[0][0]
        if symbol in found:
            raise UsageError(f"{name} has its buckets already, as an axis of the same size")
        for input_, element in (buckets.fill or {}).items():
            _check_fill(program, name, symbol, input_, element)
        found[symbol] = Buckets([size for _, size in values], buckets.fill)
    return found


def bucket_sizes(program: Program, buckets: Mapping[str, Buckets]) -> list[dict[str, int]]:
    """Every combination of sizes of buckets, by symbol; other symbols have the example's size.

    Raises UsageError for more than 256.
    """
    count = prod(len(entry.sizes) for entry in buckets.values())
    if count > MOST:
        raise UsageError(f"these are {count} combinations of buckets; {MOST} is the most")
    found = [dict(example_sizes(program))] if buckets else []
    for symbol, entry in buckets.items():
        found = [{**sizes, symbol: size} for sizes in found for size in entry.sizes]
    return found


def axis_name(program: Program, symbol: str) -> str:
    """The name of a symbol for a user: the first axis that has it as its size, or its own name."""
    axes = dynamic_axes(program)
    return next((name for name, size in axes.items() if size == Symbol(symbol)), symbol)


def _check_fill(program: Program, axis: str, symbol: str, name: str, element: Scalar) -> None:
    """Raise UsageError unless an input has the axis, and may have the element."""
    names = [
        axis_.rpartition(".")[0] for axis_, size in dynamic_axes(program).items() if size == Symbol(symbol)
    ]
    if name not in names:
        raise UsageError(f"{axis} is not an axis of {name!r}, which the buckets give elements for")
    type_ = program.graph.values[name]
    assert isinstance(type_, TensorType)
    if not _fits(type_.dtype, element):
        raise UsageError(f"{element!r} cannot be an element of {name}, which is {type_.dtype}")


def _fits(dtype: DType, element: Scalar) -> bool:
    if isinstance(element, bool) or dtype is DType.BOOL:
        return isinstance(element, bool) and dtype is DType.BOOL
    if not isinstance(element, int):
        return isinstance(element, float) and (dtype.is_floating or dtype.is_complex)
    bits = 8 * dtype.itemsize
    low, high = (-(1 << bits - 1), 1 << bits - 1) if dtype.is_signed else (0, 1 << bits)
    return not dtype.is_integer or low <= element < high


def read_words(words: Sequence[str], stated: Sequence[str], fill: Sequence[str]) -> dict[str, Buckets]:
    """Buckets by axis, as a command line names them: `tokens.0=1,2,4,8` and `mask=0`.

    `stated`: the axes that need no proof; `fill`: the elements of their padding. Raises UsageError.
    """
    if fill and not stated:
        raise UsageError("--fill is for --stated-buckets")
    elements = dict(map(_element, fill))
    found = {name: Buckets(sizes) for name, sizes in map(read_numbers, words)}
    for name, sizes in map(read_numbers, stated):
        if name in found:
            raise UsageError(f"{name} has its buckets already")
        found[name] = Buckets(sizes, elements)
    return found


def _element(word: str) -> tuple[str, Scalar]:
    name, is_named, text = word.partition("=")
    if is_named and text in ("true", "false"):
        return name, text == "true"
    for number in (int, float):
        try:
            return name, number(text)
        except ValueError:
            continue
    raise UsageError(f"an element of padding is given as NAME=0, not {word!r}")


def to_json(buckets: Mapping[str, Buckets]) -> dict[str, Any]:
    """The buckets by symbol, as plain data."""
    return {
        symbol: {"sizes": list(entry.sizes), "fill": None if entry.fill is None else dict(entry.fill)}
        for symbol, entry in buckets.items()
    }


def from_json(data: Mapping[str, Any]) -> dict[str, Buckets]:
    """The buckets that `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
    found: dict[str, Buckets] = {}
    for symbol, row in data.items():
        fill = row["fill"]
        texts = fill is None or all(isinstance(name, str) for name in fill)
        numbers = fill is None or all(type(element) in (bool, int, float) for element in fill.values())
        if not texts or not numbers:
            raise ValueError(f"{fill!r:.200} does not give elements by input")
        try:
            found[symbol] = Buckets(row["sizes"], fill)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return found
