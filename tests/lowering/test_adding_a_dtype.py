"""A new dtype is its row, and what is truly different about it: shown in a copy of the tree without one."""

from __future__ import annotations

from pathlib import Path

from tests.scratch import Scratch

TYPES = "lowering/ir/types.py"

# A model whose values have the dtype: lowered, run by ATen, and on an engine; all is eager's, bit for bit.
CHECK = """
import torch

import bridge
from lowering.stablehlo.hlo import text_of

dtype = torch.float8_e5m2fnuz


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Buffer(torch.tensor([1.5, -2.0, 0.3, 480.0]).to(dtype))

    def forward(self, x):
        return x.to(dtype), self.weight.to(torch.float32) + x


x = torch.tensor([0.1, -7.0, 3.25, 1e9])
model = Model()
lowered = bridge.lower(model, (x,))
assert not lowered.plan.reasons, lowered.plan.reasons
assert "f8E5M2FNUZ" in text_of(lowered.module(0).code)
for engine in ("aten", "xla"):
    for got, want in zip(lowered.compile(engine)(x), model(x)):
        assert got.dtype == want.dtype
        assert torch.equal(got.view(torch.uint8), want.view(torch.uint8))
"""


READ = "from lowering.frontend.pt2.values import read_dtype; print(read_dtype(32).mlir)"

# The one thing in which float8_e4m3fn is like no other: what is too large becomes its largest number.
DIFFERENCE = """\
    if dtype is DType.FLOAT8_E4M3FN and value.dtype is not dtype:
        return cx.convert(cx.clamp(-448.0, cx.convert(value, DType.FLOAT32), 448.0), dtype)
"""

OVERFLOW = """
import torch

from lowering.targets import get_engine
from tests.ops.driver import Sample, check

sample = Sample("aten._to_copy.default", (torch.tensor([1e9]),), {"dtype": torch.float8_e4m3fn})
check(sample, get_engine("xla"))
"""


def test_one_row(tmp_path: Path) -> None:
    tree = Scratch(tmp_path)
    lines = (tree.folder / TYPES).read_text().splitlines(keepends=True)
    (row,) = [line for line in lines if "float8_e5m2fnuz" in line]
    after = lines[lines.index(row) + 1]
    tree.remove(TYPES, row)
    assert "no dtype has the code 32" in tree.attempt("-c", READ).stderr
    tree.insert(TYPES, after, row)
    assert tree.added == {TYPES: 1}
    assert tree.run("-c", READ) == "f8E5M2FNUZ\n"
    tree.run("-c", CHECK)


def test_what_is_truly_different_has_lines_of_its_own(tmp_path: Path) -> None:
    tree = Scratch(tmp_path)
    tree.remove("lowering/stablehlo/ops/casts.py", DIFFERENCE)
    assert "Mismatched elements: 1 / 1" in tree.attempt("-c", OVERFLOW).stderr
    tree.insert("lowering/stablehlo/ops/casts.py", "    return cx.convert(value, dtype)\n", DIFFERENCE)
    assert list(tree.added.values()) == [2], "and with them, samples_casts.py shows that it is eager's"
