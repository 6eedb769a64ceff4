"""A new pass is one file, its line in the pipeline, and its test: shown in a copy of the tree."""

from __future__ import annotations

from pathlib import Path

from tests.scratch import Scratch

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

LINE, BEFORE = (
    '        _pass("cancel_negations:CANCEL_NEGATIONS"),\n',
    '        _pass("batch_maps:BATCH_MAPS"),\n',
)


def test_one_file_and_its_line(tmp_path: Path) -> None:
    tree = Scratch(tmp_path)
    tree.write("lowering/passes/cancel_negations.py", PASS)
    tree.insert("lowering/passes/pipelines.py", BEFORE, LINE)
    assert tree.added == {"lowering/passes/pipelines.py": 1}
    tree.write("test_cancel_negations.py", TEST)
    tree.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cancel_negations.py")
    assert "\n  cancel-negations: Cancel double negations.\n" in tree.run("-m", "bridge", "passes")
