"""Which sources a result rests on: those of its engine and of what runs beside it, not another engine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.opdb import fingerprint
from tests.opdb.fingerprint import Sources

FILES = (
    "runtime/step.py",
    "lowering/host/tensors.py",
    "lowering/ir/program.py",
    "lowering/stablehlo/passes/rows.py",
    "lowering/targets/target.py",
    "lowering/targets/aten/routine.py",
    "lowering/targets/iree/engine.py",
    "lowering/targets/xla/engine.py",
    "bridge/compilation.py",
    "bridge/compiled/compiled.py",
    "bridge/dispatch.py",
    "bridge/lowered.py",
    "bridge/planned.py",
    "bridge/segment_compiler.py",
    *(f"tests/opdb/{name}" for name in ("compare.py", "cases.py", "selection.py")),
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "runs", "stamps"),
    [
        ("runtime/step.py", {"iree", "xla"}, {"iree", "xla"}),
        ("bridge/compiled/compiled.py", {"iree", "xla"}, {"iree", "xla"}),
        ("lowering/host/tensors.py", {"iree", "xla"}, {"iree", "xla"}),
        ("lowering/stablehlo/passes/rows.py", {"iree", "xla"}, {"iree", "xla"}),
        ("lowering/targets/target.py", {"iree", "xla"}, {"iree", "xla"}),
        ("lowering/targets/aten/routine.py", {"iree", "xla"}, {"iree", "xla"}),
        ("lowering/targets/iree/engine.py", {"iree"}, {"iree"}),
        ("lowering/targets/xla/engine.py", {"xla"}, {"xla"}),
        ("bridge/dispatch.py", {"iree", "xla"}, {"iree", "xla"}),
        ("bridge/planned.py", set(), {"iree", "xla"}),
        ("lowering/ir/program.py", set(), {"iree", "xla"}),
    ],
)
def test_an_edit_changes_what_rests_on_it(tree: Path, name: str, runs: set[str], stamps: set[str]) -> None:
    before = Sources()
    (tree / name).write_text("edited")
    after = Sources()
    engines = ("iree", "xla")
    assert {engine for engine in engines if before.running(engine) != after.running(engine)} == runs
    assert {engine for engine in engines if before.stamp(engine, {}) != after.stamp(engine, {})} == stamps
