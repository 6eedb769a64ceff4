"""`python -m tests`: models of the zoo taken through export, lowering and engines, and reports of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Written by a run of all models on these engines alone.
DOCS = ROOT / "docs" / "zoo"
ENGINES = ("xla", "iree")


def parser() -> argparse.ArgumentParser:
    """The arguments. Their help imports neither torch nor an engine."""
    made = argparse.ArgumentParser(
        prog="python -m tests",
        description="Take each model of the zoo through export, lowering and compilation, and verify it "
        "against eager. Exit status 1 if one fails.",
    )
    made.add_argument("--list-models", action="store_true", help="names and descriptions")
    made.add_argument("--list-categories", action="store_true", help="names and how many models each has")
    made.add_argument("--category", default="", metavar="A,B", help="models of these categories alone")
    made.add_argument("--model", default="", metavar="A,B", help="these models alone")
    made.add_argument(
        "--engine", default=",".join(ENGINES), metavar="A,B", help="default: xla,iree; also: aten"
    )
    made.add_argument("--source", action="store_true", help="check that source back out is the same program")
    made.add_argument("--output", type=Path, metavar="FOLDER", help="where the reports go; default: reports")
    made.add_argument(
        "--record", type=Path, metavar="FILE", help="findings kept in it; a run goes on from them"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for."""
    arguments = parser()
    given = arguments.parse_args(argv)
    names, categories, engines = _words(given.model), _words(given.category), _words(given.engine)

    from tests.models.registry import CATEGORIES, check_known, models, selected
    from tests.zoo.pages import write_pages
    from tests.zoo.processes import findings

    try:
        if not engines:
            raise ValueError("no engine is given")
        check_known("engine", engines, (*ENGINES, "aten"))
        chosen = selected(names, categories)
    except ValueError as error:
        arguments.error(str(error))
    if given.list_categories:
        members = [category for entry in models().values() for category in entry.categories]
        print(*(f"{category}: {members.count(category)}" for category in CATEGORIES), sep="\n")
    if given.list_models:
        print(*(f"{name}: {models()[name].description}" for name in chosen), sep="\n")
    if given.list_models or given.list_categories:
        return 0
    folder = given.output or Path("reports")
    if folder.resolve() == DOCS and (names or categories or set(engines) != set(ENGINES) or not given.source):
        arguments.error("docs/zoo is written by a run of all models on all engines, with --source, alone")
    found = []
    for finding in findings(chosen, engines, given.source, given.record):
        found.append(finding)
        verdict = "PASSED" if finding.passed else "FAILED: " + finding.problems[0]
        print(f"{len(found)} of {len(chosen)}: {finding.model}: {verdict}", flush=True)
    # Not the options that say where.
    command = " ".join(
        ["python -m tests"]
        + [
            f"--{name} {value}"
            for name, value in (("model", given.model), ("category", given.category))
            if value
        ]
        + ([f"--engine {given.engine}"] if set(engines) != set(ENGINES) else [])
        + (["--source"] if given.source else [])
    )
    write_pages(folder, found, command)
    print(f"reports: {folder / 'SUMMARY.md'}")
    return 0 if all(finding.passed for finding in found) else 1


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    sys.exit(main())
