"""torch's `ExportedProgram` document, as decoded JSON, to a `Program`."""

from __future__ import annotations

from typing import Any

from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import (
    as_integer,
    as_record,
    as_text,
    each,
    each_entry,
    get,
    get_optional,
    show,
)
from lowering.frontend.pt2.graph import read_graph, read_integer_or_none
from lowering.frontend.pt2.ranges import called_ranges
from lowering.frontend.pt2.signature import read_signature, used_objects
from lowering.frontend.pt2.values import TypeReader
from lowering.ir.program import Guard, Program, Range
from lowering.ir.symbol_parser import parse_guard
from lowering.ir.symbols import Apply, Symbol

MAJOR = 8


def read_program(document: Any) -> Program:
    """Translate a document. Raises `Malformed`, which says where, if it is not what the schema says."""
    version = get(document, "schema_version", read_version)
    try:
        types = TypeReader()
        module = get(document, "graph_module", as_record)
        try:
            graph = get(module, "graph", lambda value: read_graph(types, value))
            signature = read_signature(module, graph)
        except Malformed as problem:
            raise problem.within("graph_module") from None
        if objects := used_objects(signature, graph):
            raise Malformed(
                f"the script object {objects[0]!r} is used; objects are stored as pickles, which are "
                "not read: export the model without script objects"
            )
        ranges = get_optional(document, "range_constraints", read_ranges, {})
        guards = get_optional(document, "guards_code", lambda texts: each(texts, read_guard), ())
    except RecursionError:
        raise Malformed("nested too deeply") from None
    return Program(
        graph,
        signature,
        ranges,
        types.hints,
        guards,
        get_optional(document, "torch_version", as_text, ""),
        version,
    )


def read_version(value: Any) -> tuple[int, int]:
    """The schema's version. Minor versions only add; an unknown addition is refused where it occurs."""
    major, minor = get(value, "major", as_integer), get(value, "minor", as_integer)
    if major != MAJOR:
        raise Malformed(
            f"schema version {major}.{minor} is not {MAJOR}.x: export the model with torch 2.9 or later"
            if major < MAJOR
            else f"schema version {major}.{minor} is newer than {MAJOR}.x, which this reader knows"
        )
    return major, minor


def read_ranges(value: Any) -> dict[str, Range]:
    """The range of each symbol that a call is held to."""

    def read(entry: Any) -> Range:
        record = as_record(entry)
        low, high = (
            get(record, key, read_integer_or_none) if key in record else None
            for key in ("min_val", "max_val")
        )
        if low is not None and high is not None and low > high:
            raise Malformed(f"the range from {low} to {high} is empty")
        return Range(low, high)

    return called_ranges(dict(each_entry(value, read)))


def read_guard(value: Any) -> Guard:
    text = as_text(value)
    try:
        condition = parse_guard(text)
    except ValueError as problem:
        raise Malformed(f"cannot read the guard {show(text)}: {problem}") from None
    if not isinstance(condition, Symbol | Apply):
        raise Malformed(f"the guard {show(text)} is not a condition on the inputs")
    return Guard(text, condition)
