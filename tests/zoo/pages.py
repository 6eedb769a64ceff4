"""Reports in Markdown: a page per model, and a summary of all."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from tests.zoo.inspection import Finding

_SLICES = 10
_TOOLS = ("torch", "transformers", "jaxlib", "iree-base-compiler")


def write_pages(folder: Path, found: Sequence[Finding], command: str) -> None:
    """Write SUMMARY.md and the page of each model into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for finding in found:
        (folder / f"{finding.model}.md").write_text(page(finding))
    (folder / "SUMMARY.md").write_text(summary(found, command))


def summary(found: Sequence[Finding], command: str) -> str:
    """The table of all models, then what is not as it is for the others."""
    engines = list(dict.fromkeys(engine for finding in found for engine in finding.engines))
    packages = ", ".join(f"{name} {version(name)}" for name in _TOOLS)
    passed = sum(finding.passed for finding in found)
    counts = Counter(category for finding in found for category in finding.categories)
    lines = [
        "# The model zoo",
        "",
        f"`{command}`, {date.today()}, {platform.machine()}, {packages}.",
        f"Of {len(found)} models, {passed} passed.",
        "Each has seeded random weights at a small size. Each is exported, lowered and compiled.",
        "Outputs of each call, and buffers after it, are compared with torch's `ExportedProgram.module()`.",
        "Differences are the largest absolute ones. `source` says whether the program, written as Python,",
        "exports as the same program again. Seconds are of one run, beside whatever else ran.",
        "",
        *_table(
            ["model", "parameters", "nodes", "segments", "on ATen", "s to export", "s to lower"]
            + [f"s to compile, {engine}" for engine in engines]
            + [f"difference, {engine}" for engine in engines]
            + ["source", "verdict"],
            [_summary_row(finding, engines) for finding in found],
        ),
        "",
        "## Categories",
        "",
        *_table(["category", "models"], [[category, str(count)] for category, count in counts.items()]),
    ]
    lines += _section(
        "Not in one segment", [f"[{f.model}]({f.model}.md): {f.apart}" for f in found if f.apart]
    )
    causes = [(f.model, f.source) for f in found if f.source not in ("", "equal")]
    lines += _section("Source", [f"{model}: `{_code(cause)}`" for model, cause in causes])
    failures = [f"{f.model}: `{_code(problem)}`" for f in found for problem in f.problems[:3]]
    lines += _section("Failures", failures)
    return "\n".join([*lines, ""])


def _summary_row(finding: Finding, engines: Iterable[str]) -> list[str]:
    seconds = [
        finding.seconds.get(stage) for stage in ("export", "lower", *(f"compile {e}" for e in engines))
    ]
    errors = [[d["error"] for d in finding.differences if d["engine"] == engine] for engine in engines]
    source = "equal" if finding.source == "equal" else "no" if finding.source else ""
    return [
        f"[{finding.model}]({finding.model}.md)",
        f"{finding.parameters:,}",
        f"{finding.nodes:,}",
        str(finding.segments),
        str(finding.aten_nodes),
        *("" if value is None else f"{value:.2f}" for value in seconds),
        *(f"{max(values):.1e}" if values else "" for values in errors),
        source,
        "PASSED" if finding.passed else "FAILED",
    ]


def page(finding: Finding) -> str:
    """One model: summary, verification, picture, operators, nodes, weights."""
    facts = [
        ["inputs", f"`{_code(finding.inputs)}`"],
        ["categories", ", ".join(finding.categories)],
        ["parameters", f"{finding.parameters:,}"],
        ["nodes", f"{finding.nodes:,}"],
        ["segments", str(finding.segments)],
        ["nodes on ATen", str(finding.aten_nodes)],
        *([f"seconds to {stage}", f"{seconds:.2f}"] for stage, seconds in finding.seconds.items()),
        ["verdict", "PASSED" if finding.passed else "FAILED"],
    ]
    if finding.source:
        facts.insert(-1, ["source", f"`{_code(finding.source)}`" if finding.source != "equal" else "equal"])
    lines = [
        f"# {finding.model}",
        "",
        f"{finding.description}. [All models](SUMMARY.md).",
        "",
        *_table(["", ""], facts),
    ]
    if finding.apart:
        lines += ["", f"Not in one segment: {finding.apart}."]
    lines += _section("Problems", [f"`{_code(problem)}`" for problem in finding.problems[:20]])
    values = [
        [
            d["engine"],
            d["name"],
            f"`{d['type']}`",
            f"{d['error']:.3g}",
            f"{d['mean']:.3g}",
            _verdict(d["problem"]),
        ]
        for d in finding.differences
    ]
    if values:
        header = ["engine", "value", "type", "largest difference", "mean difference", "verdict"]
        lines += ["", "## Verification", "", *_table(header, values)]
        lines += [_left(finding, f"values on {engine}") for engine in finding.engines]
    if finding.mermaid:
        lines += ["", "## Graph", "", "```mermaid", finding.mermaid.rstrip("\n"), "```"]
    if finding.operators:
        lines += ["", "## Operators", "", "```mermaid", *_pie(finding.operators), "```"]
    if finding.node_rows:
        rows = [
            [f"`{name}`", f"`{target}`", f"`{type_}`" if type_ else "", *rest]
            for name, target, type_, *rest in finding.node_rows
        ]
        lines += ["", "## Nodes", "", *_table(["node", "operator", "result", "module", "runs on"], rows)]
        lines += [_left(finding, "nodes")]
    if finding.weight_rows:
        rows = [[f"`{name}`", kind, f"`{type_}`", size] for name, kind, type_, size in finding.weight_rows]
        lines += ["", "## Weights", "", *_table(["weight", "kind", "type", "elements"], rows)]
        lines += [_left(finding, "weights")]
    lines += _section("Reasons for ATen", [f"`{_code(reason)}`" for reason in finding.reasons[:20]])
    return "\n".join([*(line.rstrip("\n") for line in lines if line != "\0"), ""])


def _left(finding: Finding, name: str) -> str:
    """A sentence on the lines that a table does not have."""
    count = finding.left_out.get(name, 0)
    return f"\n{count:,} more {name} are left out." if count else "\0"


def _pie(operators: dict[str, int]) -> list[str]:
    shown = list(operators.items())[:_SLICES]
    rest = sum(operators.values()) - sum(count for _, count in shown)
    slices = [*shown, *([("others", rest)] if rest else [])]
    return ["pie showData", *(f'  "{name}" : {count}' for name, count in slices)]


def _verdict(problem: str) -> str:
    return "FAILED" if problem else "PASSED"


def _code(text: str) -> str:
    """Text for a span of code in a cell or an item, in one line."""
    return " ".join(text.replace("`", "'").replace("|", "\\|").split())


def _section(title: str, items: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
