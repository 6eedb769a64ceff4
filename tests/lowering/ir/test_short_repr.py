"""Values with thousands of others show themselves on one screen."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bridge
from lowering.ir.short_repr import as_html


@pytest.fixture(scope="module")
def lowered() -> Any:
    layers = [layer for _ in range(60) for layer in (torch.nn.Linear(4, 4), torch.nn.Tanh())]
    return bridge.lower(torch.nn.Sequential(*layers), (torch.ones(2, 4),))


def test_every_value_fits_a_screen(lowered: Any) -> None:
    report = bridge.verify(lowered, engines=["aten"])
    compiled = lowered.compile("aten")
    program = lowered.program
    values = [lowered, program, program.graph, program.signature, lowered.plan, lowered.weights]
    values += [
        lowered.plan.segments[0],
        lowered.module(0),
        report,
        report.engines[0],
        compiled,
        compiled.report,
    ]
    for value in values:
        assert type(value).__name__ in repr(value)
        assert len(repr(value)) < 2000, type(value)


def test_a_notebook_shows_text(lowered: Any) -> None:
    for value in (lowered, lowered.program, bridge.verify(lowered, engines=["aten"])):
        assert value._repr_html_().startswith("<pre>")
    assert as_html("<script>") == "<pre>&lt;script&gt;</pre>"
    assert "... 5 more lines" in as_html("\n".join(["x"] * 205))
