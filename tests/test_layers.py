"""The contracts in pyproject.toml notice each kind of import that they forbid, in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bridge", "lowering", "runtime")

# A file, an import that it must not have, and the contract that says so.
FORBIDDEN = {
    "from below to above": (
        "lowering/ir/types.py",
        "import runtime.report",
        "bridge over runtime over lowering",
    ),
    "between layers of lowering": (
        "lowering/ir/types.py",
        "import lowering.host.tensors",
        "the layers of lowering",
    ),
    "of what lowers": ("runtime/report.py", "import lowering.frontend.pt2", "nothing that lowers"),
    "of a target": ("runtime/report.py", "import lowering.targets.iree.compile", "no target, and"),
    "in a circle": ("lowering/ir/types.py", "import lowering.ir.program", "no circles"),
    "of bridge in a circle": ("bridge/planned.py", "import bridge.artifact", "no circles"),
    "of a package of bridge in a circle": (
        "bridge/verification/tolerances.py",
        "import bridge.tuning.search",
        "no circles",
    ),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)}
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.json")
        )
    return folder


def test_the_tree_holds_them(tree: Path) -> None:
    done = lint(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_a_forbidden_import_breaks_one(kind: str, tree: Path) -> None:
    name, line, contract = FORBIDDEN[kind]
    file = tree / name
    content = file.read_text()
    file.write_text(f"{content}\n\n{line}\n")
    try:
        done = lint(tree)
    finally:
        file.write_text(content)
    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if "BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout
