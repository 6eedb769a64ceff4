"""Decoding 64 tokens: no cache is allocated or moved, and the logits are eager's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bridge
from lowering.ir.plan import Placement
from tests.models.decoding import LAYERS, cache_addresses, llama, step_inputs


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    return llama(80)


@pytest.fixture(scope="module")
def lowered(program: torch.export.ExportedProgram) -> bridge.Lowered:
    return bridge.lower(program)


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_64_tokens_in_the_same_caches(
    program: torch.export.ExportedProgram, lowered: bridge.Lowered, engine: str
) -> None:
    eager, compiled = program.module(), lowered.compile(engine)
    if engine != "aten":
        assert compiled.report.nodes(Placement.ATEN) == 0
    places = set()
    for step in range(64):
        inputs = step_inputs(step)
        with torch.no_grad():
            expected = eager(**inputs)
        torch.testing.assert_close(compiled(**inputs), expected, rtol=1e-4, atol=1e-5)
        places.add(cache_addresses(compiled))
    assert len(places) == 1
    (addresses,) = places
    assert len(set(addresses)) == len(addresses) == 2 * LAYERS
    buffers = compiled.buffers
    for name, buffer in eager.named_buffers():
        if name in buffers:
            np.testing.assert_allclose(buffers[name], buffer.numpy(), rtol=1e-4, atol=1e-5)
