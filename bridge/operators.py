"""How an ATen overload is lowered, and its results in the last conformance run.

`operators.json` is written by `python -m tests.opdb --report`; nothing here imports torch or an engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lowering.ir.allowed import refusal
from lowering.ir.aten import schema

REFUSED = "refused"
MEASURED = Path(__file__).with_name("operators.json")


@dataclass(frozen=True, slots=True)
class Seen:
    """The results of one engine on an overload's samples in op_db.

    `lowered`: the dtypes of samples that were lowered. `aten`: the reasons of samples that were not, each
    with the dtypes. A dtype may be in both: other arguments.
    """

    engine: str
    lowered: tuple[str, ...]
    aten: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Overload:
    """One overload. `how`: the module of its rule, `decomposition`, `kernel`, `refused`, `ATen`, or empty.

    Empty is one that no run has met. `refused`: neither lowered nor run, by docs/decisions/0028.
    """

    target: str
    how: str
    seen: tuple[Seen, ...]

    def json(self) -> dict[str, Any]:
        """`op`, `how` (as here, null for empty), and `engines`: by name, the dtypes `lowered` and those on
        `aten` by reason."""
        engines = {
            s.engine: {"lowered": list(s.lowered), "aten": {r: list(d) for r, d in s.aten}} for s in self.seen
        }
        return {"op": self.target, "how": self.how or None, "engines": engines}


def operator(target: str) -> Overload:
    """The record of an overload."""
    from lowering.stablehlo.registry import decomposition_for, rule_for
    from lowering.targets.kernels import kernel_for

    entry: dict[str, Any] = measured()["operators"].get(target, {})
    seen = tuple(
        Seen(name, tuple(found["lowered"]), tuple((r, tuple(d)) for r, d in found["aten"]))
        for name, found in entry.items()
    )
    rule = rule_for(target)
    if rule is not None:
        how = rule.emit.__module__
    elif decomposition_for(target) is not None:
        how = "decomposition"
    elif schema(target) is not None and refusal(target) is not None:
        how = REFUSED
    elif any(item.lowered for item in seen):
        how = "decomposition"
    elif kernel_for(target) is not None:
        how = "kernel"
    else:
        how = "ATen" if seen else ""
    return Overload(target, how, seen)


def describe(target: str) -> list[str]:
    """The same in lines for a reader."""
    found = operator(target)
    if found.how == REFUSED:
        return [f"{target}: no rule; {refusal(target)}"]
    if not found.how:
        return [f"{target}: no rule; torch's decomposition is tried, else ATen; op_db has no sample of it"]
    how = found.how if found.how in ("decomposition", "kernel", "ATen") else f"rule in {found.how}"
    lines = [f"{target}: {how}"]
    for item in found.seen:
        if item.lowered:
            lines.append(f"  {item.engine}: lowered for {', '.join(item.lowered)}")
        lines += [f"  {item.engine}: on ATen for {', '.join(d)}: {reason}" for reason, d in item.aten]
    return lines


@cache
def measured() -> dict[str, Any]:
    """The last run's data: `versions`, and by overload and engine what `Seen` holds."""
    if not MEASURED.is_file():
        return {"versions": {}, "operators": {}}
    return json.loads(MEASURED.read_text())
