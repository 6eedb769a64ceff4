"""A new pass over modules is one file and one line in a target's pipeline: shown in a copy of the tree."""

from __future__ import annotations

from pathlib import Path

from tests.scratch import Scratch

PASS = '''\
"""Cancel the negation of a negation."""

from __future__ import annotations

from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import maker, operations, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        inner = maker(op.operand, "stablehlo.negate") if op.operation.name == "stablehlo.negate" else None
        if inner is not None:
            replace(op, Value(inner.operand))
'''

# What is put into XLA's pipeline, before a line that is there.
BEFORE, LINE = (
    '        stablehlo_pass("attention-in-blocks"),\n',
    '        stablehlo_pass("cancel-negations"),\n',
)

KEY = """\
from lowering.targets import get_engine
from lowering.targets.sources import digest
from lowering.targets.target import CPU
print(get_engine("xla").pipeline(CPU).identity(), digest(get_engine("xla"), CPU))
"""

TEST = """\
import torch

import bridge
from bridge.binaries import Site, after_passes
from lowering.stablehlo.hlo import text_of
from lowering.targets import get_engine
from lowering.targets.target import CPU


class Twice(torch.nn.Module):
    def forward(self, x):
        return -(-x)


def test_it_runs():
    lowered = bridge.lower(Twice(), (torch.ones(2),))
    assert "negate" in text_of(lowered.module(0).code)
    assert "negate" not in text_of(after_passes(lowered.module(0), Site(get_engine("xla"), CPU)).code)
"""


def test_one_file_and_its_line(tmp_path: Path) -> None:
    tree = Scratch(tmp_path)
    before = tree.run("-c", KEY)
    tree.write("lowering/stablehlo/passes/cancel_negations.py", PASS)
    assert tree.run("-c", KEY) == before, "a pass that no pipeline lists changes no key"
    tree.insert("lowering/targets/xla/pipeline.py", BEFORE, LINE)
    assert tree.added == {"lowering/targets/xla/pipeline.py": 1}
    tree.write("test_cancel_negations.py", TEST)
    tree.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cancel_negations.py")
    assert "\n  cancel-negations: Cancel the negation of a negation.\n" in tree.run("-m", "bridge", "passes")
    identity, digest = tree.run("-c", KEY).rsplit(maxsplit=1)
    assert "cancel-negations" in identity
    assert digest != before.split()[-1]
