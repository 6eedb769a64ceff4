"""The operations that a module's bytecode names, read without a compiler: a file can crash MLIR's own
readers.

Portable StableHLO is MLIR bytecode (https://mlir.llvm.org/docs/BytecodeFormat/) of the dialect `vhlo`. Its
tables name every dialect and operation that it uses; no other can be in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAGIC = b"ML\xefR"
_STRINGS, _DIALECTS, _TYPES, _TYPE_OFFSETS, _IR, _RESOURCES, _RESOURCE_OFFSETS, _PROPERTIES = *range(7), 8
_SECTIONS = frozenset((*range(7), _PROPERTIES))
# The encoding of an empty resource section: no bytes, and a count of 0.
_EMPTY = {_RESOURCES: b"", _RESOURCE_OFFSETS: b"\1"}
# The bytecode of the StableHLO versions that Bridge writes and reads.
_VERSIONS = range(4, 8)
_MAX_ENTRIES = 1 << 24

#: StableHLO's operations on data alone, without the versions that the portable format appends to names.
#: Others call code by name, talk to hosts and other devices, or are not emitted.
OPERATIONS = frozenset(
    """
    abs add and atan2 bitcast_convert broadcast_in_dim case cbrt ceil cholesky clamp compare complex
    concatenate constant convert convolution cosine count_leading_zeros divide dot_general dynamic_slice
    dynamic_update_slice exponential exponential_minus_one fft floor func gather if imag iota is_finite log
    log_plus_one logistic map maximum minimum multiply negate not optimization_barrier or pad popcnt power
    real reduce reduce_precision reduce_window remainder reshape return reverse round_nearest_afz
    round_nearest_even rsqrt scatter select select_and_scatter shift_left shift_right_arithmetic
    shift_right_logical sign sine slice sort sqrt subtract tan tanh transpose triangular_solve while xor
    """.split()
)

#: Operations that take sizes of a call, in modules for all sizes.
DYNAMIC_OPERATIONS = frozenset(
    """
    dynamic_broadcast_in_dim dynamic_gather dynamic_iota dynamic_pad dynamic_reshape get_dimension_size
    real_dynamic_slice
    """.split()
)

_VERSIONED = re.compile(r"([a-z_0-9]+)_v[0-9]+")


def check_operations(code: bytes, more: frozenset[str] = frozenset()) -> None:
    """Raise ValueError, the end of a sentence, unless the bytecode is of StableHLO that Bridge emits.

    Text, other dialects, resources and operations that are in neither `OPERATIONS` nor `more` are not.
    """
    if not code.startswith(_MAGIC):
        raise ValueError("it is not MLIR bytecode")
    for dialect, name in operations(code):
        found = _VERSIONED.fullmatch(name)
        known = dialect == "vhlo" and found is not None and found[1] in OPERATIONS | more
        if not known and (dialect, name) != ("builtin", "module"):
            raise ValueError(f"it has the operation {f'{dialect}.{name}'!r:.100}, which Bridge does not emit")


def operations(code: bytes) -> list[tuple[str, str]]:
    """The operations that portable bytecode names, with their dialects. Raises ValueError for other bytes."""
    try:
        sections = dict(_sections(code))
        strings = _strings(_Reader(sections[_STRINGS]))
        dialects, found = _dialects(_Reader(sections[_DIALECTS]), strings)
        if others := sorted(set(dialects) - {"builtin", "vhlo"}):
            raise ValueError(f"it uses the dialect {others[0]!r:.100}")
        _check_encodings(_Reader(sections[_TYPE_OFFSETS]))
    except (IndexError, KeyError, UnicodeDecodeError):
        raise ValueError("its bytecode is damaged") from None
    return found


class _Reader:
    """Bytes read from the front; IndexError past the end."""

    def __init__(self, data: memoryview, at: int = 0) -> None:
        self._data = data
        self._at = at

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise IndexError(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        """A variable-width number: as many bytes follow the first as it has zeros at its low end."""
        first = self.byte()
        if first & 1:
            return first >> 1
        if first == 0:
            return int.from_bytes(self.take(8), "little")
        more = (first & -first).bit_length() - 1
        return int.from_bytes(bytes((first, *self.take(more))), "little") >> (more + 1)

    def text(self) -> bytes:
        """Bytes up to a zero."""
        start = self._at
        while self.byte():
            pass
        return bytes(self._data[start : self._at - 1])

    def section(self) -> tuple[int, memoryview]:
        """The number and the content of a section."""
        kind = self.byte()
        length = self.number()
        if kind & 0x80:
            alignment = self.number()
            if alignment not in (1, 2, 4, 8, 16, 32, 64):
                raise IndexError(alignment)
            self.take(-self._at % alignment)
        return kind & 0x7F, self.take(length)


def _sections(code: bytes) -> Iterator[tuple[int, memoryview]]:
    """The sections, each at most once."""
    reader = _Reader(memoryview(code), len(_MAGIC))
    version = reader.number()
    if version not in _VERSIONS:
        raise ValueError(f"its bytecode is of version {version}")
    if not reader.text().startswith(b"StableHLO_v"):
        raise ValueError("its bytecode is not portable StableHLO")
    seen: set[int] = set()
    while reader:
        kind, content = reader.section()
        if kind not in _SECTIONS or (kind in _EMPTY and content != _EMPTY[kind]):
            raise ValueError("it has resources or other data beside its operations")
        if kind in seen:
            raise IndexError(kind)
        seen.add(kind)
        yield kind, content


def _strings(reader: _Reader) -> list[memoryview]:
    """The strings. Their lengths come first, the last string's first; each string ends with a zero."""
    lengths = [reader.number() for _ in range(_count(reader))]
    return [reader.take(length)[:-1] for length in reversed(lengths)]


def _dialects(reader: _Reader, strings: list[memoryview]) -> tuple[list[str], list[tuple[str, str]]]:
    """The dialects, and the operations as dialect and name."""
    dialects: list[str] = []
    for _ in range(_count(reader)):
        place = reader.number()
        dialects.append(_text(strings[place >> 1]))
        if place & 1:
            reader.section()  # the dialect's own version
    _count(reader)
    found: list[tuple[str, str]] = []
    while reader:
        dialect = dialects[reader.number()]
        for _ in range(_count(reader)):
            found.append((dialect, _text(strings[reader.number() >> 1])))
    return dialects, found


def _check_encodings(reader: _Reader) -> None:
    """Raise ValueError for an attribute or a type that is text: it may be of any dialect at all."""
    left = _count(reader) + _count(reader)
    while left > 0:
        reader.number()
        for _ in range(_count(reader)):
            if not reader.number() & 1:
                raise ValueError("it has an attribute or a type that is text")
            left -= 1


def _count(reader: _Reader) -> int:
    count = reader.number()
    if count > _MAX_ENTRIES:
        raise IndexError(count)
    return count


def _text(content: memoryview) -> str:
    return bytes(content).decode("ascii")
