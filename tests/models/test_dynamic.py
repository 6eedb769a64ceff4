"""Dynamic models at their smallest, typical and largest sizes: equal to eager, and compiled once per size."""

from __future__ import annotations

import pytest
import torch

import bridge
from bridge.verification.compare import compare
from bridge.verification.tolerances import rounding_of
from lowering.ir.plan import Placement
from tests.models.registry import dynamic, models

FAST = ("bert-dynamic", "resnet-dynamic")


def check(name: str, engine: str) -> None:
    model = models()[name].build()
    exported = model.export()
    lowered = bridge.lower(exported)
    assert not lowered.plan.reasons
    kind = rounding_of(lowered.program)
    compiled = lowered.compile(engine, on_new_size="wait")
    eager = exported.module()
    calls = [kwargs for _, kwargs in model.calls[1:]]
    for _ in range(2):
        for inputs in calls:
            got = torch.utils._pytree.tree_leaves(compiled(**inputs))
            with torch.no_grad():
                want = torch.utils._pytree.tree_leaves(eager(**inputs))
            assert len(got) == len(want)
            rows = [
                compare(f"output {i}", a, b, kind) for i, (a, b) in enumerate(zip(got, want, strict=True))
            ]
            assert all(row.passed for row in rows), [(row.name, row.problem) for row in rows]
    report = compiled.report
    if engine == "aten":
        return
    assert report.nodes(Placement.ATEN) == 0
    assert not report.fallbacks
    # Compiled once per size, that of the example among them when the program was; then from the cache.
    sizes = {tuple(tuple(x.shape) for x in kwargs.values()) for _, kwargs in model.calls}
    made = 2 * len(calls)
    assert (report.misses, report.hits + report.misses, report.evictions) == (len(sizes), made + 1, 0)


@pytest.mark.parametrize("engine", ["xla", "aten"])
@pytest.mark.parametrize("name", FAST)
def test_a_dynamic_model_equals_eager_at_all_sizes(name: str, engine: str) -> None:
    check(name, engine)


@pytest.mark.conformance
@pytest.mark.parametrize("engine", ["xla", "aten", "iree"])
@pytest.mark.parametrize("name", dynamic())
def test_every_dynamic_model_equals_eager_at_all_sizes(name: str, engine: str) -> None:
    check(name, engine)
