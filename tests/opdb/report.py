"""What docs/ says of the kept results: counts, everything different or failed, why others are mixed."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from bridge.operators import MEASURED
from lowering.ir.aten import schema
from lowering.passes.partition import TOO_SMALL
from lowering.stablehlo.decomposed_graph import RANDOM
from tests.opdb import engine_errors, operators_page, selection, store
from tests.opdb.cases import Row, Word
from tests.opdb.compare import NOT_UNIQUE, TIES
from tests.opdb.fingerprint import ROOT

PAGE = ROOT / "docs" / "operators-conformance.md"
_PACKAGES = ("torch", "jaxlib", "iree-base-compiler")
_LISTED = 40

Results = dict[tuple[str, str], list[Row]]


def write() -> None:
    """Write docs/operators-conformance.md, docs/operators.md and the data that `bridge ops` reads.

    Raises Incomplete where there are no results of an engine and dtype, and writes docs/operators.md alone.
    """
    results = _results()
    try:
        store.require(
            results, [(engine, dtype) for engine in selection.ENGINES for dtype in selection.DTYPES]
        )
    except store.Incomplete:
        operators_page.write()
        raise
    versions = {name: version(name) for name in _PACKAGES}
    data = {"versions": versions, "operators": _operators(results)}
    MEASURED.write_text(_compact(data))
    PAGE.write_text(_page(results, versions))
    operators_page.write()


def _results() -> Results:
    """Of every engine and dtype, the kept rows of the samples that the engine takes."""
    found: Results = {}
    for engine in selection.ENGINES:
        limit = selection.SAMPLES[engine]
        for dtype in selection.DTYPES:
            rows = store.load(engine, dtype).values()
            kept = [row for row in rows if limit is None or int(row.case.rsplit("/", 1)[1]) < limit]
            if kept:
                found[engine, dtype] = sorted(kept, key=lambda row: row.case)
    return found


# ------------------------------------------------------------------------------ per overload


def _operators(results: Results) -> dict[str, Any]:
    """Per overload and engine: dtypes lowered, and reasons with dtypes."""
    lowered: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    aten: dict[str, dict[str, dict[str, set[str]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(set))
    )
    for (engine, dtype), rows in results.items():
        if engine == "aten":
            continue
        for row in rows:
            if row.word not in (Word.LOWERED.value, Word.MIXED.value):
                continue
            for target in row.targets:
                if not target.startswith("aten."):
                    continue
                if target not in row.aten:
                    lowered[target][engine].add(dtype)
                elif not row.aten[target].startswith(TOO_SMALL):
                    aten[target][engine][general(row.aten[target])].add(dtype)
    found: dict[str, Any] = {}
    for target in sorted(lowered.keys() | aten.keys()):
        found[target] = {
            engine: {
                "lowered": _ordered(lowered[target][engine]),
                "aten": [[reason, _ordered(d)] for reason, d in sorted(aten[target][engine].items())],
            }
            for engine in selection.ENGINES
            if lowered[target][engine] or aten[target][engine]
        }
    return found


def general(reason: str) -> str:
    """A reason without what belongs to one program: names of its symbols and segments, long numbers."""
    reason = re.sub(r"\bits size (u|zuf)\d+\b", "its size", reason)
    reason = re.sub(r"\b(u|zuf)\d+\b", "a value", reason)
    reason = re.sub(r"node \S+, (\S+) \([^)]*\):", r"\1:", reason)
    reason = reason.replace(f"{ROOT}/", "")
    reason = re.sub(r"segment_\d+", "segment", reason)
    return re.sub(r"\s+", " ", reason)[:160]


def _ordered(dtypes: Iterable[str]) -> list[str]:
    return [dtype for dtype in selection.DTYPES if dtype in set(dtypes)]


def _compact(data: dict[str, Any]) -> str:
    """JSON with one line for each overload, so that a change is read in a diff."""
    lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in data["operators"].items()]
    return f'{{"versions": {json.dumps(data["versions"])},\n"operators": {{\n' + ",\n".join(lines) + "\n}}\n"


# ------------------------------------------------------------------------------ the page


def _page(results: Results, versions: dict[str, str]) -> str:
    lines = [
        "# Conformance: PyTorch's operator database",
        "",
        "Every sample input of `torch.testing._internal.common_methods_invocations.op_db` as a program of "
        "its own: exported, lowered, run, compared with eager. Written by `python -m tests.opdb --report`; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + ".",
        "",
        "*lowered*: all of it StableHLO and equal; *mixed*: equal, some nodes on ATen; *refused*: an "
        "operator of sparse tensors, which a file may not call ([28](decisions/0028-allowed-operators.md)); "
        "*whole*: the lowered share of the cases that could be exported, without random operators and those "
        "whose results' sizes or Python values depend on the data (*left out*, named below). *x10*: equal "
        "within ten times the tolerance that op_db or torch.testing gives, and not within one. *samples*: "
        "how many were run of each operator.",
        "",
        "| engine | dtype | samples | cases | lowered | mixed | different | failed "
        "| not exportable | refused | left out | whole | x10 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_summary(engine, dtype, rows) for (engine, dtype), rows in results.items()]
    lines += ["", "## Different and failed", "", *_bad(results)]
    lines += ["", "## Why cases are mixed", "", *_mixed(results)]
    refused = [row for (engine, _), rows in results.items() if engine == "iree" for row in rows]
    lines += ["", "## Refusals of IREE", "", *engine_errors.section("iree", refused)]
    lines += ["## Why cases are not exportable", "", *_unexportable(results)]
    lines += ["", "## Judged in their own way", "", *_named(results), ""]
    return "\n".join(lines)


def _summary(engine: str, dtype: str, rows: list[Row]) -> str:
    words = Counter(row.word for row in rows)
    out = [row for row in rows if left_out(row)]
    counted = len(rows) - words[Word.NOT_EXPORTABLE.value] - len(out)
    whole = f"{100 * words[Word.LOWERED.value] / counted:.1f}%" if counted and engine != "aten" else ""
    counts = " | ".join(str(words[word.value]) for word in Word)
    loose = sum(row.factor > 1 for row in rows)
    samples = reached(rows, len(selection.names(dtype)))
    return f"| {engine} | {dtype} | {samples} | {len(rows)} | {counts} | {len(out)} | {whole} | {loose} |"


def reached(rows: list[Row], operators: int) -> str:
    """How many samples of each operator were run, and of how many operators, if not of all."""
    run: Counter[str] = Counter()
    there: dict[str, int] = {}
    for row in rows:
        name = row.case.split("/")[0]
        run[name] += 1
        there[name] = max(there.get(name, 0), row.of)
    cut = [run[name] for name, of in there.items() if run[name] < of]
    how_many = f"first {min(cut)}" if cut else "all"
    return how_many if len(run) >= operators else f"{how_many}, {len(run)} of {operators} operators"


def left_out(row: Row) -> bool:
    """Whether a mixed case is random, or has results whose sizes or values depend on the data."""
    if row.word != Word.MIXED.value:
        return False
    for target, reason in row.aten.items():
        found = schema(target)
        tags = found.tags if found is not None else frozenset()
        if tags & {"data_dependent_output", "dynamic_output_shape"} or RANDOM in reason:
            return True
        if "nondeterministic_seeded" in tags and "random" in reason:
            return True
        if "known only once the data is" in reason or "depends on the data" in reason:
            return True
    return False


def _bad(results: Results) -> list[str]:
    lines = []
    for (engine, _), rows in results.items():
        for row in rows:
            if row.word in (Word.DIFFERENT.value, Word.FAILED.value):
                lines.append(f"- `{row.case}` on {engine}: {row.word}: {general(row.reason)}")
    return lines or ["None."]


def _mixed(results: Results) -> list[str]:
    """The reasons by overload, most frequent first."""
    lines = []
    for engine in selection.ENGINES[:2]:
        counts: Counter[tuple[str, str]] = Counter()
        dtypes: dict[tuple[str, str], set[str]] = defaultdict(set)
        for (on, dtype), rows in results.items():
            for row in rows if on == engine else ():
                if row.word == Word.MIXED.value and not left_out(row):
                    for target, reason in row.aten.items():
                        if not reason.startswith(TOO_SMALL):
                            counts[target, general(reason)] += 1
                            dtypes[target, general(reason)].add(dtype)
        if not counts:
            continue
        lines += [f"### {engine}", "", "| cases | overload | dtypes | reason |", "|---|---|---|---|"]
        for (target, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            kinds = ", ".join(_ordered(dtypes[target, reason]))
            lines.append(f"| {count} | `{target}` | {kinds} | {_cell(reason)} |")
        lines.append("")
    return lines or ["None is."]


def _unexportable(results: Results) -> list[str]:
    """torch's reasons, by operator; those of one engine, for all get the same programs."""
    found: dict[str, set[str]] = defaultdict(set)
    for rows in results.values():
        for row in rows:
            if row.word == Word.NOT_EXPORTABLE.value:
                found[general(row.reason)].add(row.case.split("/")[0])
    if not found:
        return ["All are."]
    lines = ["| operators | reason |", "|---|---|"]
    for reason, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        listed = ", ".join(f"`{name}`" for name in sorted(names)[:_LISTED])
        lines.append(f"| {listed}{' ...' if len(names) > _LISTED else ''} | {_cell(reason)} |")
    return lines


def _named(results: Results) -> list[str]:
    out = sorted({row.case.split("/")[0] for rows in results.values() for row in rows if left_out(row)})
    return [
        f"- Undefined values, compared by dtype and sizes: {_names(selection.UNDEFINED)}.",
        "- Factorisations that are not unique, compared by reconstruction and invariants: "
        f"{_names(NOT_UNIQUE)}.",
        f"- Indices of equal elements, which come in any order unless `stable` is asked for: {_names(TIES)}.",
        f"- Random, or with sizes or values that depend on the data, in some samples: {_names(out)}.",
    ]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
