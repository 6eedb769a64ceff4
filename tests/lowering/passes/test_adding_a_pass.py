"""A new pass is one file, its line in the pipeline, and its test: shown in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

PASS = '''\
"""The negation of a negation is its operand."""

from dataclasses import replace

from lowering.ir.program import Graph, Ref
from lowering.passes.program import graph_pass
from lowering.passes.rewriting import substitute


def without_double_negations(graph: Graph) -> Graph:
    negated = {node.name: node.args[0].value for node in graph.nodes if node.target == "aten.neg.default"}
    twice = {name: negated[ref.name] for name, ref in negated.items() if ref.name in negated}
    if not twice:
        return graph

    def read(name):
        return twice.get(name, Ref(name))

    return replace(graph, outputs=tuple(substitute(output, read) for output in graph.outputs))


CANCEL_NEGATIONS = graph_pass("cancel-negations", without_double_negations, "Cancel double negations.")
'''

TEST = """\
from lowering.passes.pipelines import canonical
from tests.lowering.graphs import node, program


def test_it_runs_before_dead_code_goes():
    nodes = [node("y", "aten.neg.default", self="%x"), node("z", "aten.neg.default", self="%y")]
    made = canonical().run(program(["x"], nodes, ["%z"]))
    assert made.graph.nodes == ()
    assert str(made.signature.outputs[0].value) == "%x"
"""

# What is put into `pipelines.py`, each before a line that is there.
LINES = {
    "from lowering.passes.correct_dtypes import CORRECT_DTYPES\n": (
        "from lowering.passes.cancel_negations import CANCEL_NEGATIONS\n"
    ),
    "        BATCH_MAPS,\n": "        CANCEL_NEGATIONS,\n",
}


def test_one_file_and_its_line(tmp_path: Path) -> None:
    for package in ("bridge", "lowering", "runtime"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    passes = tmp_path / "lowering" / "passes"
    (passes / "cancel_negations.py").write_text(PASS)
    text = (passes / "pipelines.py").read_text()
    for before, line in LINES.items():
        assert text.count(before) == 1
        text = text.replace(before, line + before)
    (passes / "pipelines.py").write_text(text)
    (tmp_path / "test_cancel_negations.py").write_text(TEST)

    def run(*words: str) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pytest", "-q", "-p", "no:cacheprovider", "test_cancel_negations.py")
    assert "\n  cancel-negations: Cancel double negations.\n" in run("bridge", "passes")
