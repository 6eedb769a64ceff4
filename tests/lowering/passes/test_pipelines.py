"""The canonical pipeline: whatever part of it runs, programs do what eager does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lowering.frontend.pt2 import read
from lowering.passes.pipeline import Observation, observed
from lowering.passes.pipelines import IMPORT, canonical
from tests.lowering.ir.programs import FILES
from tests.lowering.passes.eager import Body, check, inputs

COUNT = len(IMPORT.passes) + len(canonical().passes)


def everything(state: Any, x: Any, y: Any) -> Any:
    """Something for each pass: a vmap, a mode, casts, tied weights, a write through a view, dead code."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = x @ y.t()
    with torch.no_grad():
        state[1].add_(product.float().sum())
    unused = x.exp()
    unused.add_(1)
    return torch.vmap(lambda row: row.sin() * y[0])(x) + state, product


class Tied(Body):
    """A body whose buffer has a second name, by which it is read."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self.held = [self.state]

    def forward(self, x: Any, y: Any) -> Any:
        return (*self.function(self.state, x, y), self.held[0] * 2)


@pytest.mark.parametrize("until", range(COUNT + 1))
def test_a_part_of_the_passes_gives_what_eager_gives(until: int) -> None:
    with observed(Observation(until=until, verify=True)) as observation:
        check(Tied(everything), inputs())
    ran = [timing.name for timing in observation.timings]
    assert len(ran) >= until
    assert {"fold-vmaps", "inline", "correct-dtypes", "merge-tied-weights", "functionalise"} <= set(ran)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_canonical_program_stays_as_it_is(path: Path) -> None:
    program, weights = read(path)
    made = canonical(weights).run(program)
    assert canonical(weights).run(made) == made
