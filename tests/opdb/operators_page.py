"""docs/operators.md: every overload that has a rule or that op_db's samples use, where it runs and why."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.operators import Overload, measured, operator
from lowering.ir.aten import schema, targets
from lowering.stablehlo.registry import all_rules, rule_for
from tests.opdb.fingerprint import ROOT

PAGE = ROOT / "docs" / "operators.md"


def write() -> None:
    """Write the page."""
    measured.cache_clear()
    PAGE.write_text(render())


def render() -> str:
    """The page, from the registry and the data of the last conformance run."""
    known = sorted(all_rules().keys() | measured()["operators"].keys())
    found = [operator(target) for target in known]
    lines = [
        "# Operators",
        "",
        f"{len(all_rules())} overloads have a rule of their own. The others are decomposed as torch does it, "
        "or run on ATen. `python -m bridge ops aten.add.Tensor` says the same of one overload.",
        "",
        "The columns xla and iree give the dtypes of op_db's samples in which the operator was lowered; "
        "empty: op_db has no sample of it. Written by `python -m tests.opdb --report`.",
        "",
        "| overload | how | xla | iree | on ATen |",
        "|---|---|---|---|---|",
        *map(_row, found),
        "",
        "## Core operators without a rule",
        "",
        *_core(),
        "",
    ]
    return "\n".join(lines)


def _row(found: Overload) -> str:
    how = found.how.removeprefix("lowering.stablehlo.ops.")
    lowered = {item.engine: _dtypes(item.lowered) for item in found.seen}
    reasons = [
        f"{item.engine} ({_dtypes(dtypes)}): {reason}" for item in found.seen for reason, dtypes in item.aten
    ]
    why = "; ".join(reasons).replace("|", "\\|")
    return f"| `{found.target}` | {how} | {lowered.get('xla', '')} | {lowered.get('iree', '')} | {why} |"


_SHORT = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "uint8": "u8",
    "complex64": "c64",
}


def _dtypes(dtypes: Iterable[str]) -> str:
    return " ".join(_SHORT.get(dtype, dtype) for dtype in dtypes)


def core_without_rule() -> dict[str, str]:
    """Overloads that torch tags as core and that have no rule, each with the reason."""
    found = {}
    for target in targets():
        entry = schema(target)
        if entry is None or "core" not in entry.tags or rule_for(target) is not None:
            continue
        if "nondeterministic_seeded" in entry.tags:
            found[target] = "random: its numbers come from torch's generator"
        elif entry.tags & {"data_dependent_output", "dynamic_output_shape"}:
            found[target] = "the size or the value of its result depends on the data"
        elif not any("Tensor" in result.type for result in entry.returns):
            found[target] = "no tensor among its results"
        elif "inplace_view" in entry.tags:
            found[target] = "it changes the sizes of its argument in place; StableHLO has values only"
        elif any(p.name == "out" and p.writes for p in entry.parameters) and _functional(target):
            found[target] = f"what it writes to `out` is a value, that of `{_functional(target)}`"
        elif operator(target).how == "decomposition":
            found[target] = "torch's decomposition lowers it"
        else:
            found[target] = ""
    return found


def _functional(target: str) -> str:
    """The overload with a rule that computes what this one writes to `out`, or nothing."""
    entry, head = schema(target), target.rpartition(".")[0]
    assert entry is not None
    wanted = [p.name for p in entry.parameters if p.name != "out"]
    for other in targets():
        found = schema(other) if other.startswith(f"{head}.") and rule_for(other) else None
        if found is not None and [p.name for p in found.parameters] == wanted:
            return other
    return ""


def _core() -> list[str]:
    return [f"- `{target}`: {reason or 'no reason: a gap'}" for target, reason in core_without_rule().items()]
