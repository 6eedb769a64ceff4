"""The tables and the plot of docs/benchmarks.md, from the rows that were measured.

The page is written by hand; between `<!-- name -->` and `<!-- end -->` a table is put in its place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from statistics import geometric_mean

from benchmarks import records
from benchmarks.cases import CASES, DTYPES
from benchmarks.records import Row
from benchmarks.sides import OTHERS, OURS, SIDES

PAGE = records.ROOT / "docs" / "benchmarks.md"
PLOT = records.ROOT / "docs" / "benchmarks.svg"

#: The order of the tables: pinned, dtype, batch.
_TABLES = list(product((False, True), DTYPES, (1, 8)))
# A file's folders, which tell nothing here.
_FOLDERS = re.compile(r"(?<!\S)/(?:[^\s/]+/)+")
_TITLES = {name: SIDES[name].title for name in OTHERS}


def write() -> None:
    """Put the tables that there are rows for onto the page, and draw the plot."""
    text = PAGE.read_text()
    measured = {
        name: [row for row in records.read(name) if not row["small"]]
        for name in ("models", "start", "lowering")
    }
    for name, make in (("start", start), ("lowering", lowering)):
        if measured[name]:
            text = replaced(text, name, make(measured[name]))
    if rows := merged(measured["models"]):
        from benchmarks.plot import draw

        draw(rows, _TITLES, PLOT)
        text = replaced(text, "models", f"![Ratios to eager]({PLOT.name})\n\n{models(rows)}")
    PAGE.write_text(text)


def replaced(page: str, name: str, table: str) -> str:
    """The page with this between its marks. Raises ValueError where it has none of that name."""
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, count = place.subn(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", page)
    if count != 1:
        raise ValueError(f"the page has {count} places for {name}")
    return text


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row per configuration: each side's last measurement, and the last row for the rest."""
    found: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in ("pinned", "dtype", "batch", "model"))
        earlier = found.get(key, {"sides": {}})
        found[key] = {**earlier, **row, "sides": {**earlier["sides"], **row["sides"]}}
    return list(found.values())


def models(rows: Sequence[Row]) -> str:
    """The tables of what a call costs, one per dtype and batch, on all cores and on one."""
    parts = []
    for pinned, dtype, batch in _TABLES:
        chosen = [r for r in rows if (r["pinned"], r["dtype"], r["batch"]) == (pinned, dtype, batch)]
        if chosen:
            where = "one core" if pinned else "all cores"
            parts += [f"### {dtype}, batch {batch}, {where}", _one_table(_ordered(chosen))]
    return "\n\n".join([*parts, *_over_all(rows), _provenance(rows)])


def _over_all(rows: Sequence[Row]) -> list[str]:
    """The mean of what stands below each table, on all cores; one paragraph, or none."""
    against = [_against(_medians(row)) for row in rows if not row["pinned"]]
    ratios = [ratio for ratio in against if ratio is not None]
    if not ratios:
        return []
    said = f"on all cores, {_TITLES['auto']} to the fastest of the others: {geometric_mean(ratios):.3f}"
    return [f"Over {len(ratios)} rows {said} as a geometric mean."]


def _ordered(rows: Iterable[Row]) -> list[Row]:
    """By the table of models."""
    return sorted(rows, key=lambda row: list(CASES).index(row["model"]))


def _one_table(rows: list[Row]) -> str:
    sides = [side for side in _TITLES if any(side in row["sides"] for row in rows)]
    head = ["model", "eager ms", *(_TITLES[side] for side in sides)]
    best = [fastest(row) for row in rows]
    body = [
        [row["model"], f"{row['eager_ms']:.3g}" if "eager_ms" in row else ""]
        + [_cell(row["sides"].get(side), side == first) for side in sides]
        for row, first in zip(rows, best, strict=True)
    ]
    counted = Counter(_TITLES[side] if side else "eager" for side in best)
    said = "Fastest: " + ", ".join(f"{name} {count}" for name, count in counted.most_common()) + "."
    return "\n\n".join([markdown(head, body), f"{said} {_means(rows, sides)}", *_notes(rows, sides)])


def _cell(side: Row | None, best: bool) -> str:
    """A ratio with its quartiles; the fastest bold, what is not eager's marked."""
    if side is None:
        return ""
    if "reason" in side:
        return "cannot"
    low, median, high = side["ratio"]
    shown = f"**{median:.2f}**" if best else f"{median:.2f}"
    return f"{shown} ({low:.2f}–{high:.2f}){' ≠' if side['differs'] else ''}"


def fastest(row: Row) -> str | None:
    """The side with the least median, of those that give what eager gives; None where that is eager."""
    medians = _medians(row)
    name = min(medians, key=medians.__getitem__, default=None)
    return name if name is not None and medians[name] < 1 else None


def _medians(row: Row) -> dict[str, float]:
    """The median ratio of each side that gives what eager gives."""
    sides = row["sides"].items()
    return {name: side["ratio"][1] for name, side in sides if "ratio" in side and not side["differs"]}


def _means(rows: list[Row], sides: list[str]) -> str:
    """Geometric means of each side's ratios, and of ours to the fastest of the others."""
    found = [_medians(row) for row in rows]
    told = []
    for side in sides:
        ratios = [medians[side] for medians in found if side in medians]
        if ratios:
            count = "" if len(ratios) == len(rows) else f" ({len(ratios)} of {len(rows)})"
            told.append(f"{_TITLES[side]} {geometric_mean(ratios):.2f}{count}")
    said = f"Geometric means: {', '.join(told)}."
    ratios = {row["model"]: _against(medians) for row, medians in zip(rows, found, strict=True)}
    against = {model: ratio for model, ratio in ratios.items() if ratio is not None}
    if not against:
        return said
    behind = ", ".join(f"{model} {ratio:.2f}" for model, ratio in against.items() if ratio > 1)
    mean = f"{geometric_mean(against.values()):.2f}"
    return f"{said} {_TITLES['auto']} to the fastest of the others: {mean}" + (
        f"; above 1: {behind}." if behind else "."
    )


def _against(medians: dict[str, float]) -> float | None:
    """Ours, as `auto` chooses, to the fastest of the others."""
    others = [median for side, median in medians.items() if side not in OURS]
    return medians["auto"] / min(others) if "auto" in medians and others else None


def _notes(rows: list[Row], sides: list[str]) -> list[str]:
    """What `auto` took, why a side cannot, and what is not eager's; one line each, one paragraph for all."""
    lines = []
    taken: dict[str, list[str]] = {}
    for row in rows:
        taken.setdefault(row["sides"].get("auto", {}).get("took", ""), []).append(row["model"])
    found = [f"{place} for {', '.join(models)}" for place, models in taken.items() if place]
    if found:
        lines.append(f"- {_TITLES['auto']} took {'; '.join(found)}.")
    for side in sides:
        told: dict[str, list[str]] = {}
        for row in rows:
            found = row["sides"].get(side, {})
            said = found.get("reason") or (f"≠ {found['differs']}" if found.get("differs") else "")
            said = _FOLDERS.sub("", said)
            if said:
                told.setdefault(said.replace("|", "/").replace("<", "‹"), []).append(row["model"])
        lines += [f"- {_TITLES[side]}, {', '.join(models)}: {said}" for said, models in told.items()]
    return ["\n".join(lines)] if lines else []


def _provenance(rows: Sequence[Row]) -> str:
    """Where, when and with what all these were measured."""
    machines = "; ".join(sorted({row["machine"] for row in rows}))
    days = sorted({row["date"] for row in rows})
    used = {(name, version) for row in rows for name, version in row["versions"].items()}
    packages = ", ".join(f"{name} {version}" for name, version in sorted(used))
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Measured {span} on {machines}; {packages} (bridge: a digest of its sources)."


def start(rows: Sequence[Row]) -> str:
    """The table of starting: cold, then in a new process with what the first left."""
    head = ["model", "side", "cold s", "of it compiling s", "warm s", "cold peak MB", "warm peak MB"]
    last = {(row["model"], side): row["sides"][side] for row in rows for side in row["sides"]}
    body = []
    for (model, side), found in last.items():
        if "reason" in found:
            body.append([model, SIDES[side].title, "cannot", found["reason"].replace("|", "/"), "", "", ""])
            continue
        cold, warm = found["cold"], found["warm"]
        seconds = (cold["seconds"], cold["compile_seconds"], warm["seconds"])
        megabytes = (cold["megabytes"], warm["megabytes"])
        figures = [*(f"{figure:.2f}" for figure in seconds), *(f"{figure:.0f}" for figure in megabytes)]
        body.append([model, SIDES[side].title, *figures])
    return "\n\n".join([markdown(head, body), _provenance(rows)])


def lowering(rows: Sequence[Row]) -> str:
    """The table of lowering: seconds, and megabytes added."""
    last = {row["model"]: row for row in rows}
    sides = list(dict.fromkeys(side for row in last.values() for side in row["sides"]))
    body = [[model, *(_lowered(row["sides"].get(side)) for side in sides)] for model, row in last.items()]
    reasons = [
        f"- {side}, {model}: {found['reason'].replace('|', '/')}"
        for model, row in last.items()
        for side, found in row["sides"].items()
        if "reason" in found
    ]
    table = markdown(["model", *sides], body)
    return "\n\n".join([table, *(["\n".join(reasons)] if reasons else []), _provenance(rows)])


def _lowered(found: Row | None) -> str:
    if found is None:
        return ""
    return "cannot" if "reason" in found else f"{found['seconds']:.2f} s, {found['megabytes']:.0f} MB"


def lowered_line(row: Row) -> str:
    """A row of lowerings for the terminal."""
    return "; ".join(
        f"{side} {found.get('reason') or _lowered(found)}" for side, found in row["sides"].items()
    )


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)
