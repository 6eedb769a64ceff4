"""Dynamic models whose batch is proved to be a batch axis, and are eager's at a larger size, cut."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves

import bridge
from bridge.padding import batch_axes
from bridge.verification.compare import compare
from bridge.verification.draw import example_call
from bridge.verification.tolerances import rounding_of
from tests.models.registry import dynamic, models

FAST = ("bert-dynamic", "llama-dynamic", "resnet-dynamic")


@pytest.mark.parametrize("name", FAST)
def test_the_batch_of_a_model_is_proved(name: str) -> None:
    first, *others = batch_axes(bridge.lower(models()[name].build().export()))
    assert (first.name.endswith(".0"), first.problem) == (True, "")
    # Attention, or a mask, mixes the places of a text.
    assert all(axis.name.endswith(".1") and axis.problem for axis in others)


@pytest.mark.conformance
@pytest.mark.parametrize("engine", ["xla", "iree"])
@pytest.mark.parametrize("name", dynamic())
def test_every_dynamic_model_is_eager_s_at_a_larger_size(name: str, engine: str) -> None:
    exported = models()[name].build().export()
    lowered = bridge.lower(exported)
    batch = batch_axes(lowered)[0]
    assert (batch.name.endswith(".0"), batch.problem) == (True, "")
    compiled = lowered.compile(engine, on_new_size="wait", buckets={batch.name: [8]})
    assert isinstance(compiled, bridge.Compiled)
    kind, eager = rounding_of(lowered.program), exported.module()
    for seed, size in enumerate((2, 5, 7)):
        sizes = {**lowered.example_sizes, batch.symbol: size}
        args, kwargs = example_call(lowered, seed=seed, sizes=sizes)
        with torch.no_grad():
            wanted = tree_leaves(eager(*args, **kwargs))
        made = tree_leaves(compiled(*args, **kwargs))
        rows = [compare("a result", got, want, kind) for got, want in zip(made, wanted, strict=True)]
        assert all(row.passed for row in rows), (size, [row.problem for row in rows])
    assert (compiled.report.padded, compiled.report.fallbacks) == (3, [])
