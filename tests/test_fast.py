"""`make test-fast` compiles on no engine, and its list is of files and tests that are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fast
from tests.without_engines import sitecustomize

ROOT = Path(__file__).parents[1]

# Asks an engine to compile, and catches what it can.
COMPILE = """
import sys
from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.targets import get_engine
from lowering.targets.target import CPU
with hlo.make_context() as context, hlo.ir.Location.unknown():
    empty = hlo.serialize(hlo.ir.Module.parse("func.func public @main() { return }"))
try:
    get_engine(sys.argv[1]).compile(Module(empty, (), ()), CPU)
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_an_engine_that_is_to_compile_ends_a_process_and_leaves_a_note(engine: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT)}
    path = list(sys.meta_path)
    fast.forbid_engines(environment, str(tmp_path / "calls"))
    sys.meta_path[:] = path
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, engine],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "EngineCompiles: no engine compiles in a fast test" in done.stderr
    assert (tmp_path / "calls").read_text() == "1\n"


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("tests/ops/test_ops.py", True),
        ("tests/ops", True),
        ("tests/test_docs.py::test_examples_run[README.md]", True),
        ("tests/runtime/test_step.py", False),
        ("tests/runtime/test_step.py::test_a[xla-2]", True),
        ("tests/runtime/test_step.py::test_a[relaxla]", False),
        ("tests/lowering/stablehlo/passes/test_keep_divisions.py::test_quotients_are_eager_s[1]", True),
        ("tests/lowering/stablehlo/passes/test_keep_divisions.py::test_quotients_are_eager_s_too", False),
    ],
)
def test_what_is_left_out(name: str, left_out: bool) -> None:
    assert fast.leaves_out(name) is left_out


def test_what_is_listed_is_there() -> None:
    assert [name for name in (*fast.FOLDERS, *fast.FILES) if not (ROOT / name).exists()] == []
    for file, tests in fast.TESTS.items():
        there = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE)
        assert set(tests.split()) <= set(there), file


def test_every_engine_is_held() -> None:
    from lowering.targets import ENGINES

    assert len(sitecustomize.COMPILERS) == len(ENGINES)
    for engine in ENGINES:
        assert any(f".{engine}." in module for module in sitecustomize.COMPILERS)
