"""The list of pipelines, and the page that is made of it.

`UPDATE_GOLDEN=1 python -m pytest tests/bridge/test_pipelines.py` writes the page anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import UsageError
from bridge.pipelines import all_pipelines, check_passes, described
from lowering.targets.iree import pipeline as iree
from lowering.targets.target import Machine
from lowering.targets.xla import pipeline as xla

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "passes.md"

_HEAD = """# Passes

Each rewrite of a model is a pass: a function from a value to one of the same kind, with a name. A pipeline
is a list of passes. `python -m bridge passes` prints this list, and `lower`
[shows, times and bisects](cli.md#lower) its passes. A test writes this page from the pipelines
(`UPDATE_GOLDEN=1 python -m pytest tests/bridge/test_pipelines.py`).

A pass requires properties that earlier passes ensure. *Always* marks the passes that `--passes-until` does
not leave out, because results rest on them. Tests verify the subject and its properties after each pass.
A converted module is one between IREE's input conversion and the rest of its compiler.
The passes of `iree` and `xla` are those of several cores with AVX-512 and bfloat16; the list of
`python -m bridge passes` is this machine's.
"""


def page() -> str:
    """The page, as it should be."""
    return "\n".join([_HEAD, *map(_section, described())])


def _section(pipeline: dict[str, Any]) -> str:
    target = f", for the target `{pipeline['target']}`" if pipeline["target"] else ""
    lines = [
        f"## `{pipeline['name']}`",
        "",
        f"On a {pipeline['subject']}{target}.",
        "",
        "| pass | what it does | requires | ensures | always |",
        "|---|---|---|---|---|",
    ]
    for item in pipeline["passes"]:
        options = "".join(f", `{name}={value!r}`" for name, value in sorted(item["options"].items()))
        properties = (", ".join(item[kind]) for kind in ("requires", "ensures"))
        cells = (
            f"`{item['name']}`{options}",
            item["summary"],
            *properties,
            "yes" if item["required"] else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def test_the_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(cores=2, has_avx512=True, has_bfloat16=True, has_float16=False)
    for module in (iree, xla):
        monkeypatch.setattr(module, "this_machine", lambda: machine)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_names_are_unique_and_said_in_a_sentence() -> None:
    names = [pipeline.name for _, pipeline in all_pipelines()]
    assert len(set(names)) == len(names)
    for _, pipeline in all_pipelines():
        for item in pipeline.passes:
            assert item.name == item.name.lower().replace("_", "-").replace(" ", "-")
            assert item.summary.endswith(".")


def test_a_name_that_no_pass_has() -> None:
    check_passes(["inline", "functionalise"])
    with pytest.raises(UsageError, match=r"the pass 'fold_vmaps' is not among .*; did you mean `fold-vmaps`"):
        check_passes(["inline", "fold_vmaps"])


def test_passes_over_programs_are_known_without_torch() -> None:
    code = (
        "import sys; from bridge.pipelines import check_passes; check_passes(['fold-vmaps', 'inline']); "
        "print([n for n in ('torch', 'jax', 'jaxlib', 'iree') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
