"""Functional collectives: eager's, in the group that the process has joined; refused without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

CODE = """
import sys, torch, torch.distributed as dist, bridge
import torch.distributed._functional_collectives as collectives

dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=0, world_size=1)

class Model(torch.nn.Module):
    def forward(self, x):
        total = collectives.all_reduce(x * 2, "sum", dist.group.WORLD)
        return collectives.all_gather_tensor(total, 0, dist.group.WORLD) + 1

x = torch.ones(2, 3)
exported = torch.export.export(Model(), (x,))
lowered = bridge.lower(exported)
for engine in ("aten", "xla"):
    assert torch.equal(lowered.compile(engine)(x), exported.module()(x))
lowered = bridge.lower(exported)
dist.destroy_process_group()
from lowering.targets.aten import operators
operators._resolve.cache_clear()
try:
    lowered.compile("aten")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_collectives_are_eagers_in_a_group_and_refused_without(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CODE, str(tmp_path / "group")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("UnknownOperator ")
    assert "this one is in no group: call torch.distributed.init_process_group first" in done.stdout
