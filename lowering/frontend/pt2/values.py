"""Types of values: torch's codes, tensor metadata, symbolic scalars, expressions and their hints."""

from __future__ import annotations

from typing import Any, TypeVar

from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import (
    as_boolean,
    as_float,
    as_integer,
    as_list,
    as_name,
    as_size,
    as_text,
    get,
    get_optional,
    show,
    variant,
)
from lowering.ir.symbol_parser import parse_srepr
from lowering.ir.symbols import Apply, Dim, Symbol
from lowering.ir.types import Device, DType, Layout, MemoryFormat, SymKind, SymType, TensorType

T = TypeVar("T")

# torch's own serialisation codes; 0 is "unknown" in all three tables, and never valid.
DTYPES = {dtype.code: dtype for dtype in DType}
LAYOUTS = {
    1: Layout.SPARSE_COO,
    2: Layout.SPARSE_CSR,
    3: Layout.SPARSE_CSC,
    4: Layout.SPARSE_BSR,
    5: Layout.SPARSE_BSC,
    6: Layout.MKLDNN,
    7: Layout.STRIDED,
}
MEMORY_FORMATS = {
    1: MemoryFormat.CONTIGUOUS,
    2: MemoryFormat.CHANNELS_LAST,
    3: MemoryFormat.CHANNELS_LAST_3D,
    4: MemoryFormat.PRESERVE,
}


def read_dtype(code: Any) -> DType:
    """Raises Malformed for a code that torch has not."""
    return _decode(code, DTYPES, "dtype")


def read_layout(code: Any) -> Layout:
    """Raises Malformed for a code that torch has not."""
    return _decode(code, LAYOUTS, "layout")


def read_memory_format(code: Any) -> MemoryFormat:
    """Raises Malformed for a code that torch has not."""
    return _decode(code, MEMORY_FORMATS, "memory format")


def _decode(code: Any, table: dict[int, T], what: str) -> T:
    member = table.get(as_integer(code))
    if member is None:
        raise Malformed(f"no {what} has the code {show(code)}")
    return member


def read_device(device: Any) -> Device:
    """A kind of device, and its index where one is named. Raises Malformed."""
    return Device(get(device, "type", as_name), get_optional(device, "index", as_size, None))


class TypeReader:
    """Reads the types of one document. An expression is parsed once, however often its text occurs.

    `hints`: the value of each symbol in the example inputs, collected on the way.
    """

    def __init__(self) -> None:
        self.hints: dict[str, int] = {}
        self._parsed: dict[str, int | float | bool | Symbol | Apply] = {}

    def expression(self, record: Any) -> int | float | bool | Symbol | Apply:
        """A `SymExpr`: SymPy's srepr text, and the value that it had, if any."""
        text = get(record, "expr_str", as_text)
        value = self._parsed.get(text)
        if value is None:
            try:
                value = self._parsed[text] = parse_srepr(text)
            except ValueError as problem:
                raise Malformed(f"cannot read the expression {show(text)}: {problem}", "expr_str") from None
        if isinstance(value, Symbol) and (hint := record.get("hint")) is not None:
            kind, example = variant(hint)
            if kind == "as_int":
                self.hints[value.name] = as_integer(example)
        return value

    def dim(self, value: Any) -> Dim:
        """A `SymInt`: a size, stride or offset."""
        kind, content = variant(value)
        if kind == "as_int":
            return as_size(content)
        if kind != "as_expr":
            raise Malformed(f"expected as_int or as_expr, got {kind!r}")
        size = get(value, kind, self.expression)
        if isinstance(size, Symbol | Apply):
            return size
        return as_size(size)

    def dims(self, values: Any) -> tuple[Dim, ...]:
        """A list of `SymInt`."""
        result: list[Dim] = []
        for value in as_list(values):
            try:
                result.append(self.dim(value))
            except Malformed as problem:
                raise problem.within(f"[{len(result)}]") from None
        return tuple(result)

    def tensor(self, meta: Any) -> TensorType:
        """A `TensorMeta`."""
        sizes = get(meta, "sizes", self.dims)
        strides = get(meta, "strides", self.dims)
        if len(sizes) != len(strides):
            raise Malformed(f"{len(sizes)} sizes, but {len(strides)} strides")
        return TensorType(
            get(meta, "dtype", read_dtype),
            sizes,
            strides,
            get(meta, "storage_offset", self.dim),
            get(meta, "device", read_device),
            get(meta, "layout", read_layout),
            get(meta, "requires_grad", as_boolean),
        )

    def sym_int(self, value: Any) -> SymType:
        return self._symbolic(value, SymKind.INT, "as_int", as_integer)

    def sym_bool(self, value: Any) -> SymType:
        return self._symbolic(value, SymKind.BOOL, "as_bool", as_boolean)

    def sym_float(self, value: Any) -> SymType:
        return self._symbolic(value, SymKind.FLOAT, "as_float", as_float)

    def _symbolic(self, value: Any, kind: SymKind, literal: str, read: Any) -> SymType:
        tag, content = variant(value)
        if tag == literal:
            return SymType(kind, read(content))
        if tag != "as_expr":
            raise Malformed(f"expected {literal} or as_expr, got {tag!r}")
        return SymType(kind, get(value, tag, self.expression))
