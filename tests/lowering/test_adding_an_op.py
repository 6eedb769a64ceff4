"""A new operator is a rule and its samples, at most six lines in two files: shown in a copy of the tree."""

from __future__ import annotations

from pathlib import Path

from tests.scratch import Scratch

OPS, SAMPLES = "lowering/stablehlo/ops/unary.py", "tests/ops/samples_unary.py"

RULE = """

@lowers("aten._foreach_neg.default")
def foreach_neg(cx: Context, self: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(-x for x in self)
"""

SAMPLE = '    Sample("aten._foreach_neg.default", ([floats(3), integers(2, 2, dtype=I32)],)),\n'

# The operator in a model; its samples as `tests/ops/test_ops.py` checks them, but on the interpreter.
CHECK = """
import torch

import bridge
from tests.lowering.targets.interpreter import Interpreter
from tests.ops.driver import check
from tests.ops.samples_unary import SAMPLES


class Model(torch.nn.Module):
    def forward(self, x, y):
        return torch.ops.aten._foreach_neg.default([x, y + 1])


lowered = bridge.lower(Model(), (torch.ones(3), torch.ones(2)))
assert [node.target for node in lowered.functional.graph.nodes][-1] == "aten._foreach_neg.default"
assert not lowered.plan.reasons
(chosen,) = [sample for sample in SAMPLES if "_foreach_neg" in sample.target]
check(chosen, Interpreter())
"""


def test_six_lines_in_two_files(tmp_path: Path) -> None:
    files = ("__init__.py", "ops/__init__.py", "ops/driver.py", "ops/data.py", "ops/samples_unary.py")
    others = ("lowering/__init__.py", "lowering/targets/__init__.py", "lowering/targets/interpreter.py")
    tree = Scratch(tmp_path, *(f"tests/{name}" for name in (*files, *others)))
    rule = "from lowering.stablehlo.registry import rule_for; print(rule_for('aten._foreach_neg.default'))"
    assert tree.run("-c", rule) == "None\n", "the example needs an operator that has no rule"
    tree.append(OPS, RULE)
    tree.insert(SAMPLES, '    sample("sqrt", floats(0, 3)),\n', SAMPLE)
    assert (sum(tree.added.values()), len(tree.added)) == (4, 2)
    tree.run("-c", CHECK)
