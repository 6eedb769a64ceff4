"""docs/databases.md: what the kept results say of each database, engine and mode, and exceptions by name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from importlib.metadata import version

from tests.databases import examples
from tests.databases.suites import SUITES
from tests.opdb import store
from tests.opdb.cases import Row, Word
from tests.opdb.fingerprint import ROOT
from tests.opdb.report import general

PAGE = ROOT / "docs" / "databases.md"
# How many samples of each entry an engine takes; IREE's compiler takes half a second a case.
LIMITS = {"xla": None, "iree": 3, "aten": None}
_PACKAGES = ("torch", "jaxlib", "iree-base-compiler")
_COUNTED = tuple(word for word in Word if word is not Word.REFUSED)
_NAMED = (Word.DIFFERENT, Word.FAILED, Word.NOT_EXPORTABLE)

Results = dict[tuple[str, str], list[Row]]


def write() -> None:
    """Write docs/databases.md from the results that are kept. Raises Incomplete where there are not all."""
    results = {(suite, engine): _kept(suite, engine) for suite in SUITES for engine in LIMITS}
    store.require([key for key, rows in results.items() if rows], results)
    PAGE.write_text("\n".join(_page(results)))


def _kept(suite: str, engine: str) -> list[Row]:
    limit = LIMITS[engine]
    rows = store.load(engine, suite)
    return [rows[case] for case in sorted(rows) if limit is None or int(case.rsplit("/", 1)[1]) < limit]


def _page(results: Results) -> list[str]:
    unsupported = ", ".join(f"`{name}`" for name in examples.names(supported=False))
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [
        "# Conformance: PyTorch's other databases",
        "",
        f"Written by `python -m tests.databases`; {packages}. [Operators](operators-conformance.md) have a "
        "page of their own.",
        "",
        "A case is a module, exported, lowered, and called three times in a row (an example with dynamic "
        "sizes three times at each of 0, 1, 3 and 8), each time with other arguments of the same structure. "
        "Results and their structure, arguments, buffers and the state of torch's generator after each call "
        "are eager's. On iree the first three samples of each entry.",
        "",
        "*lowered*: all of it StableHLO; *mixed*: equal, some nodes on ATen; *not exportable*: "
        "`torch.export` refuses, or its own program is not eager's.",
        "",
        "| database | engine | mode | cases | lowered | mixed | different | failed | not exportable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (suite, engine), rows in results.items():
        words = Counter(row.word for row in rows)
        counts = " | ".join(str(words[word.value]) for word in _COUNTED)
        lines.append(f"| {SUITES[suite].title} | {engine} | {SUITES[suite].mode} | {len(rows)} | {counts} |")
    lines += ["", f"Examples that torch itself names unsupported: {unsupported}."]
    for word in _NAMED:
        lines += ["", f"## {word.value.capitalize()}", "", *(_exceptions(results, word) or ["None."])]
    lines += ["", "## Why cases are mixed", "", *(_mixed(results) or ["None is."]), ""]
    return lines


def _exceptions(results: Results, word: Word) -> list[str]:
    """By entry and reason, with suites, engines and numbers of samples."""
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (suite, engine), rows in results.items():
        for row in rows:
            if row.word == word.value:
                entry, _, index = row.case.split("/")
                found[entry, re.sub(r" at 0x[0-9a-f]+", "", general(row.reason))][f"{suite} on {engine}"].add(
                    index
                )
    lines = []
    for (entry, reason), places in sorted(found.items()):
        counts = ", ".join(f"{where}: {len(indices)}" for where, indices in places.items())
        lines.append(f"- `{entry}` ({counts}): {reason}")
    return lines


def _mixed(results: Results) -> list[str]:
    """The reasons of overloads on ATen, with the entries they are of; the aten engine lowers nothing."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (_, engine), rows in results.items():
        for row in rows if engine != "aten" else ():
            for target, reason in row.aten.items() if row.word == Word.MIXED.value else ():
                if not reason.startswith("too little"):
                    found[target, general(reason)].add(row.case.split("/")[0])
    return [
        f"- `{target}`: {reason}: {', '.join(f'`{name}`' for name in sorted(names))}"
        for (target, reason), names in sorted(found.items())
    ]
