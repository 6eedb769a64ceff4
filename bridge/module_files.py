"""The StableHLO modules of an artifact: their files, and the rows that say what each takes and gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.contents import Part
from bridge.planned import SizeKey, size_key
from lowering.ir.module import Check, CheckKind, Module, Port
from lowering.ir.types import DType

Sized = dict[tuple[int, SizeKey], Module]


def module_file(index: int, place: int | None = None) -> str:
    """`place`: of a module for sizes that were asked for, among all of these."""
    return f"modules/segment_{index}{_place(place)}.mlirbc"


def preflight_file(index: int, place: int | None = None) -> str:
    return f"modules/segment_{index}{_place(place)}_checks.mlirbc"


def _place(place: int | None) -> str:
    return "" if place is None else f"_at_{place}"


def dynamic_file(index: int) -> str:
    return f"modules/segment_{index}_dynamic.mlirbc"


def module_to_json(index: int, module: Module) -> dict[str, Any]:
    def ports(items: tuple[Port, ...]) -> list[Any]:
        return [[port.name, port.dtype.value, list(port.sizes), port.weight] for port in items]

    return {
        "segment": index,
        "name": module.name,
        "in": ports(module.inputs),
        "out": ports(module.outputs),
        "checks": [[check.kind.value, check.message] for check in module.checks],
        "donated": [list(pair) for pair in module.donated],
        "preflight": [port.name for port in module.preflight.inputs] if module.preflight else None,
    }


def modules_from_json(contents: Part, rows: Any, ours: bool) -> tuple[dict[int, Module], Sized]:
    """The modules at the example's sizes, and those at others."""

    def port(row: Any) -> Port:
        name, dtype, sizes, weight = row
        texts = isinstance(name, str) and (weight is None or isinstance(weight, str))
        if not texts or not isinstance(sizes, list) or not all(type(n) is int and n >= 0 for n in sizes):
            raise ValueError(f"{row!r:.200} is not a port")
        return Port(name, DType(dtype), tuple(sizes), weight)

    def check(row: Any) -> Check:
        kind, message = row
        if not isinstance(message, str):
            raise ValueError(f"{row!r:.200} is not a check")
        return Check(CheckKind(kind), message)

    def pair(row: Any) -> tuple[str, str]:
        given, made = row
        if not isinstance(given, str) or not isinstance(made, str):
            raise ValueError(f"{row!r:.200} names no input and output")
        return given, made

    def size_of(item: Any) -> tuple[str, int]:
        name, size = item
        if type(size) is not int:
            raise ValueError(f"{size!r:.200} is not a size")
        return name, size

    def preflight(index: int, place: int | None, module: Module, names: Any) -> Module | None:
        if names is None:
            return None
        known = {port.name: port for port in module.inputs}
        inputs = tuple(known[name] for name in names)
        code = contents.read(preflight_file(index, place))
        checks = f"{module.name}_checks"
        return Module(code, inputs, module.outputs[-1:], checks, module.checks, foreign=not ours)

    modules: dict[int, Module] = {}
    sized: Sized = {}
    for row in rows:
        index, name = row["segment"], row["name"]
        at = size_key(dict(map(size_of, row["sizes"].items()))) if "sizes" in row else None
        known = (index in modules) if at is None else (index, at) in sized
        if type(index) is not int or index < 0 or known or not isinstance(name, str):
            raise ValueError(f"module {index!r:.200} has no segment and name of its own")
        place = None if at is None else len(sized)
        code = contents.read(module_file(index, place))
        inputs, outputs = tuple(map(port, row["in"])), tuple(map(port, row["out"]))
        checks = tuple(map(check, row["checks"]))
        module = Module(code, inputs, outputs, name, checks, foreign=not ours)
        donated = tuple(map(pair, row["donated"]))
        asked = preflight(index, place, module, row["preflight"])
        module = replace(module, donated=donated, preflight=asked)
        if at is None:
            modules[index] = module
        else:
            sized[index, at] = module
    return modules, sized
