"""Branches that give other sizes than the exporter took are refused as the exported program refuses them."""

from __future__ import annotations

import pytest
import torch

import bridge
from lowering.targets.errors import ExecutionError


class Branches(torch.nn.Module):
    """[4, 4] or [1, 4], added to [4, 4]: the exporter takes it that the first size is 4."""

    def forward(self, x: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        wide = torch.cond(x.sum() > 0, lambda x, row: x * 2, lambda x, row: row.neg(), (x, row))
        return x + wide


@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_a_branch_of_another_size(engine: str) -> None:
    x, row = torch.ones(4, 4), torch.ones(1, 4)
    compiled = bridge.lower(Branches(), (x, row)).compile(engine)
    torch.testing.assert_close(compiled(x, row), Branches()(x, row))
    with pytest.raises(ExecutionError, match=r"the program takes .*4"):
        compiled(-x, row)
