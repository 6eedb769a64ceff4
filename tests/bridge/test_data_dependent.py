"""Sizes that the data gives: what follows is compiled for those that come again, and equals eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

import bridge
from lowering.ir.plan import Placement
from lowering.ir.unbacked import has_data_sizes

HLO, ATEN = Placement.STABLEHLO, Placement.ATEN


class Module(torch.nn.Module):
    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(4, 8)
        self.second = torch.nn.Linear(8, 4)
        self.body = body

    def forward(self, x: Any) -> Any:
        return self.body(self, x)


def rows(m: Any, x: Any) -> Any:
    places = (x.sum(1) > 0).nonzero().squeeze(1)
    return m.second(torch.relu(m.first(x[places]))).softmax(-1), places


def between(m: Any, x: Any) -> Any:
    hidden = torch.tanh(m.first(x)).relu()
    kept = m.second(hidden[hidden.sum(1) > 1.0]).tanh()
    return torch.tanh(m.first(kept.sum(0))).softmax(-1), hidden.sin(), kept


def elementwise(m: Any, x: Any) -> Any:
    y = x[x > 0]
    for _ in range(6):
        y = (y * 2 + 1).tanh()
    return y, y.sum(), y.shape[0], y.shape[0] * 2


def distinct(m: Any, x: Any) -> Any:
    values, places = torch.unique(x.round(), return_inverse=True)
    return values @ values, places


def counted(m: Any, x: Any) -> Any:
    count = (x > 0).sum().item()
    torch._check(count >= 0)
    torch._check(count <= 24)
    scores = torch.arange(count)[:, None] * 0.1 + x[0]
    return (scores @ scores.t()).softmax(-1), count + 1


def repeated(m: Any, x: Any) -> Any:
    y = torch.repeat_interleave(x, (x[:, 0] > 0).long() + 1, dim=0)
    return (y @ y.t()).softmax(0)


def few(m: Any, x: Any) -> Any:
    return x[x > 0] * 2


def scaled(m: Any, x: Any) -> Any:
    scale = x.max().item()
    for _ in range(5):
        x = (x * scale + 1).tanh()
    return x, scale * 2


class Case(NamedTuple):
    body: Callable[..., Any]
    placements: tuple[Placement, ...]


CASES = [
    Case(rows, (ATEN, HLO)),
    Case(between, (HLO, ATEN, HLO, HLO)),
    Case(elementwise, (ATEN, HLO)),
    Case(distinct, (ATEN, HLO)),
    Case(counted, (ATEN, HLO)),
    Case(repeated, (ATEN, HLO)),
    Case(few, (ATEN,)),
    Case(scaled, (HLO,)),
]


def draw(seed: int) -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("case", CASES, ids=[case.body.__name__ for case in CASES])
def test_what_follows_is_compiled_for_sizes_that_come_again(case: Case) -> None:
    module = Module(case.body)
    lowered = bridge.lower(torch.export.export(module, (draw(0),)))
    assert tuple(segment.placement for segment in lowered.plan.segments) == case.placements
    compiled = lowered.compile("xla", on_new_size="wait")
    for _ in range(3):
        for x in (draw(0), draw(1), -torch.ones(6, 4)):
            with torch.no_grad():
                torch.testing.assert_close(compiled(x), module(x))
    report = compiled.report
    assert not report.fallbacks
    follows = sum(placement is HLO for placement in case.placements[1:])
    assert bool(report.postponed) == bool(report.misses) == bool(report.hits) == bool(follows)
    # Each size runs on ATen once, and is compiled once.
    assert report.postponed == report.misses


def test_verification_compiles_at_the_first_size() -> None:
    report = bridge.verify(Module(rows), (draw(0),), engines=["xla"], calls=2)
    assert report.passed
    used = {name: count for name, count in report.engines[0].cache.items() if count}
    assert used == {"hits": 1, "misses": 1}
    assert "- xla: segments compiled per size: 1 hits, 1 misses" in report.markdown()


def test_it_is_so_for_a_loaded_artifact(tmp_path: Any) -> None:
    module = Module(rows)
    bridge.lower(torch.export.export(module, (draw(0),))).save(tmp_path / "model.bridge")
    compiled = bridge.load(tmp_path / "model.bridge").compile("xla", on_new_size="wait")
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(compiled(draw(3)), module(draw(3)))
    assert (compiled.report.postponed, compiled.report.misses) == (1, 1)


def test_a_segment_of_typical_sizes_can_be_read() -> None:
    lowered = bridge.lower(torch.export.export(Module(rows), (draw(0),)))
    assert "tensor<2x4xf32>" in lowered.stablehlo(1)


class Decided(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return (x.sum() > 0).item(), x + 1


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_a_boolean_out_of_a_tensor(engine: str) -> None:
    """Its symbol is known from a condition: `Eq(u0, 1)`."""
    compiled = bridge.lower(torch.export.export(Decided(), (draw(0),))).compile(engine, on_new_size="wait")
    for x in (torch.ones(6, 4), -torch.ones(6, 4)):
        found, plus = compiled(x)
        assert found is bool(x.sum() > 0)
        torch.testing.assert_close(plus, x + 1)


@pytest.mark.parametrize("case", CASES, ids=[case.body.__name__ for case in CASES])
def test_what_follows_runs_on_the_binary_for_all_sizes(case: Case) -> None:
    """As soon as the size is known: nothing is compiled, and nothing waits."""
    module = Module(case.body)
    lowered = bridge.lower(torch.export.export(module, (draw(0),)))
    compiled = lowered.compile("iree")
    assert isinstance(compiled, bridge.Compiled)
    for x in (draw(0), draw(1)):
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), module(x))
    segments = compiled.report.plan.segments
    follows = sum(s.placement is HLO and has_data_sizes(lowered.functional, s) for s in segments)
    assert compiled.report.no_dynamic == {}
    assert compiled.report.tiers == {"static": 0, "dynamic": 2 * follows, "aten": 0}
