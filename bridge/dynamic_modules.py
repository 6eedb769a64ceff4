"""Modules for all sizes as an artifact keeps them: `dynamic.json`, beside a file of bytecode for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort, SizeGuard
from lowering.ir.json import term_to_json
from lowering.ir.json_reader import dim_from_json, term_from_json
from lowering.ir.module import Check, CheckKind
from lowering.ir.program import Range
from lowering.ir.types import DType

# By segment index; a text is the reason why a segment has none.
DynamicModules = Mapping[int, DynamicModule | str]


# By the symbols that are 1: the type that does not hold.
AtOne = Mapping[tuple[str, ...], str]


def to_json(modules: DynamicModules, at_one: AtOne) -> dict[str, Any]:
    """The data of `dynamic.json`."""
    rows = [_row(index, module) for index, module in sorted(modules.items())]
    return {"modules": rows, "at_one": [[list(names), why] for names, why in sorted(at_one.items())]}


def _row(index: int, module: DynamicModule | str) -> dict[str, Any]:
    if isinstance(module, str):
        return {"segment": index, "reason": module}

    def ports(items: tuple[DynamicPort, ...]) -> list[Any]:
        return [[p.name, p.dtype.value, list(map(term_to_json, p.sizes)), p.weight, p.symbol] for p in items]

    return {
        "segment": index,
        "name": module.name,
        "in": ports(module.inputs),
        "out": ports(module.outputs),
        "ranges": {name: list(bounds) for name, bounds in sorted(module.ranges.items())},
        "guards": [[term_to_json(guard.condition), guard.site] for guard in module.guards],
        "checks": [[check.kind.value, check.message] for check in module.checks],
        "batch_axes": {symbol: _axes_row(axes) for symbol, axes in sorted(module.batch_axes.items())},
    }


def _axes_row(axes: BatchAxes | Mixing) -> dict[str, Any]:
    if isinstance(axes, Mixing):
        return {"reason": axes.reason, "node": axes.node}
    outputs = {
        name: [[axis, term_to_json(elements)] for axis, elements in found]
        for name, found in axes.outputs.items()
    }
    return {"in": {name: list(found) for name, found in axes.inputs.items()}, "out": outputs}


def from_json(
    data: Any, code: Callable[[int], bytes]
) -> tuple[dict[int, DynamicModule | str], dict[tuple[str, ...], str]]:
    """The modules of `dynamic.json`, and what is known of sizes of 1. `code`: gives a segment's bytecode.

    Raises ValueError, TypeError, KeyError or JSONError for anything else.
    """
    found: dict[int, DynamicModule | str] = {}
    for row in data["modules"]:
        index = row["segment"]
        if type(index) is not int or index < 0 or index in found:
            raise ValueError(f"{index!r:.200} does not name a segment of its own")
        found[index] = _text(row["reason"]) if "reason" in row else _module(row, code(index))
    return found, {tuple(map(_text, names)): _text(why) for names, why in data["at_one"]}


def _module(row: Mapping[str, Any], code: bytes) -> DynamicModule:
    return DynamicModule(
        code,
        tuple(map(_port, row["in"])),
        tuple(map(_port, row["out"])),
        {_text(name): _range(bounds) for name, bounds in row["ranges"].items()},
        tuple(SizeGuard(term_from_json(condition), _text(site)) for condition, site in row["guards"]),
        _text(row["name"]),
        tuple(Check(CheckKind(kind), _text(message)) for kind, message in row["checks"]),
        # Older artifacts lack them; they are looked for when they are asked for.
        {_text(symbol): _axes(found) for symbol, found in row.get("batch_axes", {}).items()},
    )


def _axes(row: Mapping[str, Any]) -> BatchAxes | Mixing:
    if "reason" in row:
        return Mixing(_text(row["reason"]), _text(row["node"]))
    return BatchAxes(
        {_text(name): tuple(map(_place, found)) for name, found in row["in"].items()},
        {
            _text(name): tuple(RowAxis(_place(axis), dim_from_json(elements)) for axis, elements in found)
            for name, found in row["out"].items()
        },
    )


def _place(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.200} is not an axis")
    return value


def _port(row: Any) -> DynamicPort:
    name, dtype, sizes, weight, symbol = row
    return DynamicPort(
        _text(name),
        DType(dtype),
        tuple(map(dim_from_json, sizes)),
        _text_or_none(weight),
        _text_or_none(symbol),
    )


def _range(bounds: Any) -> Range:
    low, high = bounds
    if not all(end is None or type(end) is int for end in (low, high)):
        raise ValueError(f"{bounds!r:.200} is not a range")
    return Range(low, high)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.200} is not a text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)
