"""Checked access to decoded JSON: every wrong or missing field is a `Malformed` that says where it is.

Paths are built while the complaint travels outwards, so that reading what is right costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lowering.frontend.pt2.errors import Malformed

T = TypeVar("T")

# torch's integers are 64 bits wide; the upper half of the range is for uint64 scalars.
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1

# How torch spells the floats that JSON has no numbers for.
_SPECIAL_FLOATS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}


def show(value: Any) -> str:
    """The actual value, short enough for a sentence."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_record(value: Any) -> dict[str, Any]:
    """An object, with any fields."""
    if type(value) is not dict:
        raise Malformed(f"expected an object, got {show(value)}")
    return value


def as_list(value: Any) -> list[Any] | tuple[Any, ...]:
    """A list, of anything."""
    if not isinstance(value, list | tuple):
        raise Malformed(f"expected a list, got {show(value)}")
    return value


def as_text(value: Any) -> str:
    """A string, perhaps empty."""
    if not isinstance(value, str):
        raise Malformed(f"expected a string, got {show(value)}")
    return value


def as_name(value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise Malformed(f"expected a name, got {show(value)}")
    return value


def as_integer(value: Any) -> int:
    """An integer of 64 bits, signed or not; a bool is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"expected an integer, got {show(value)}")
    if not _SMALLEST <= value <= _LARGEST:
        raise Malformed("the integer does not fit in 64 bits")
    return value


def as_size(value: Any) -> int:
    """A size, stride or offset: not negative, and an int64."""
    if as_integer(value) < 0 or value >= 1 << 63:
        raise Malformed(f"expected a size of 0 or more, got {value}")
    return value


def as_float(value: Any) -> float:
    """A number; numbers that JSON lacks are spelt as torch spells them."""
    if type(value) is float:
        return value
    if isinstance(value, str) and value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(as_integer(value))
    raise Malformed(f"expected a number, got {show(value)}")


def as_boolean(value: Any) -> bool:
    """True or false; an integer is neither."""
    if not isinstance(value, bool):
        raise Malformed(f"expected true or false, got {show(value)}")
    return value


def each(value: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    """`read` over a list's items."""
    result: list[T] = []
    for item in as_list(value):
        try:
            result.append(read(item))
        except Malformed as problem:
            raise problem.within(f"[{len(result)}]") from None
    return tuple(result)


def each_entry(value: Any, read: Callable[[Any], T]) -> dict[str, T]:
    """`read` over an object's values."""
    result: dict[str, T] = {}
    for key, item in as_record(value).items():
        try:
            result[key] = read(item)
        except Malformed as problem:
            raise problem.within(f"[{key!r}]") from None
    return result


def get(record: Any, key: str, read: Callable[[Any], T]) -> T:
    """`read` of a field that must be there."""
    if type(record) is not dict:
        raise Malformed(f"expected an object with a field {key!r}, got {show(record)}")
    if key not in record:
        raise Malformed(f"the field {key!r} is missing")
    try:
        return read(record[key])
    except Malformed as problem:
        raise problem.within(key) from None


def get_optional(record: Any, key: str, read: Callable[[Any], T], default: T) -> T:
    """`read` of a field, or the default where it is absent or null."""
    if as_record(record).get(key) is None:
        return default
    return get(record, key, read)


def variant(value: Any) -> tuple[str, Any]:
    """A union's member: an object of one entry, named for the member."""
    if type(value) is not dict or len(value) != 1:
        raise Malformed(f"expected an object with one entry, got {show(value)}")
    return next(iter(value.items()))
