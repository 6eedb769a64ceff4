"""Guards: the exporter's assumptions on the inputs, checked at each call and told in the caller's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowering.ir.argument_paths import LeafPath, rename
from lowering.ir.program import Guard
from lowering.ir.symbols import Scalar, Symbol, SymbolError, evaluate, free_symbols, substituted, to_text
from lowering.targets.errors import InputError

# Where a guard reads: the input, what of it, and the axis.
Access = tuple[int, str, int]
_KINDS = {".size()": "size", ".stride()": "stride"}


class Guards:
    """The guards of a program over its inputs. `unchecked`: texts of those that name something else."""

    def __init__(self, guards: Sequence[Guard], paths: Sequence[LeafPath]) -> None:
        self._paths = paths
        self._checked, self.unchecked = _split(
            guards, {path.source: index for index, path in enumerate(paths)}
        )

    def __bool__(self) -> bool:
        return bool(self._checked)

    def check(self, leaves: Sequence[Any], symbols: Mapping[str, Scalar]) -> None:
        """Raises InputError for the first guard that does not hold."""
        for guard, accesses in self._checked:
            env = dict(symbols)
            for name, (index, kind, axis) in accesses.items():
                env[name] = _access(leaves[index], kind, axis)
            try:
                holds = evaluate(guard.condition, env)
            except SymbolError as error:
                raise InputError(f"the program's guard {guard.text} cannot be checked: {error}") from None
            if not holds:
                words = rename(to_text(guard.condition), self._paths)
                words = words.replace("Max(", "max(").replace("Min(", "min(")
                came = ", ".join(f"{rename(name, self._paths)} is {env[name]}" for name in accesses)
                raise InputError(f"the program was exported for {words}, but {came}")


def _split(
    guards: Sequence[Guard], sources: Mapping[str, int]
) -> tuple[list[tuple[Guard, dict[str, Access]]], tuple[str, ...]]:
    """Guards with how to read each name in them; and the texts of those that name no input."""
    checked, unchecked = [], []
    for guard in guards:
        names = sorted(free_symbols(guard.condition))
        found = {name: _parse_access(name, sources) for name in names}
        items = {name: _by_argument(name) for name, access in found.items() if access is None}
        found |= {item: _parse_access(item, sources) for item in items.values()}
        terms = {name: Symbol(item) for name, item in items.items() if found[item] is not None}
        accesses = {name: access for name, access in found.items() if access is not None}
        if any(name.startswith("L[") and name not in accesses.keys() | terms.keys() for name in names):
            unchecked.append(guard.text)
            continue
        condition = substituted(guard.condition, terms)
        checked.append((guard._replace(condition=condition) if terms else guard, accesses))
    return checked, tuple(unchecked)


# The path after `L`: an argument, and the item of it that is taken first.
_ITEM = re.compile(r"L\['([^\[\]']+)'\]\[(?:(\d+)|'([^\[\]']+)')\]")


def _by_argument(name: str) -> str:
    """An item of `*xs` or `**options` as the argument that it is: `L['xs'][0]` is `L['xs_0']`."""
    found = _ITEM.match(name)
    if found is None:
        return name
    argument, place, key = found.groups()
    return f"L['{key if place is None else f'{argument}_{place}'}']{name[found.end() :]}"


def _parse_access(name: str, sources: Mapping[str, int]) -> Access | None:
    """Read `L['x'].size()[0]`: the input, what of it, and the axis."""
    if name in sources:
        return sources[name], "value", 0
    if name.endswith(".storage_offset()") and (source := name.removesuffix(".storage_offset()")) in sources:
        return sources[source], "offset", 0
    stem, bracket, axis = name.rpartition("[")
    for suffix, kind in _KINDS.items():
        source = stem.removesuffix(suffix)
        if bracket and source != stem and source in sources and axis.removesuffix("]").isdigit():
            return sources[source], kind, int(axis.removesuffix("]"))
    return None


def _access(given: Any, kind: str, axis: int) -> Any:
    if kind == "value":
        return given.item() if isinstance(given, np.generic) else given
    if kind == "size":
        return int(given.shape[axis])
    if isinstance(given, np.ndarray):
        return 0 if kind == "offset" else given.strides[axis] // given.itemsize
    return given.storage_offset() if kind == "offset" else given.stride(axis)
