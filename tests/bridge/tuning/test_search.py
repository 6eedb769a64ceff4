"""Measured placement: what is tried, which wins, and that no choice changes a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge.compilation import compile_configured
from bridge.configuration import ATEN, Configuration
from bridge.errors import UsageError
from bridge.tuning import candidates, race, search
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from tests.bridge.samples import lowered as lowered_sample


class Islands(torch.nn.Module):
    """Two StableHLO segments around an operator that only ATen has; a buffer and an input are written."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(8, 8)
        self.last = torch.nn.Linear(8, 8)
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.first(x).tanh().exp().sin()
        self.seen.add_(y.sum(0))
        values = torch.linalg.eigvals(y.T @ y).real.sort().values
        z = self.last(y.cos() + values).relu().sigmoid().tanh()
        x.mul_(z.sum() / 100)
        return z + self.seen, y * 2


class Convolutions(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu().sum((2, 3)).tanh()


def islands() -> bridge.Lowered:
    return bridge.lower(Islands(), (torch.ones(8, 8),))


def mlp(seed: int = 0) -> bridge.Lowered:
    torch.manual_seed(seed)
    return bridge.lower(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh()), (torch.ones(2, 4),))


# ------------------------------------------------------------------------------------ segments on two engines


def first_nodes(lowered: bridge.Lowered) -> list[str]:
    return [s.nodes[0] for s in lowered.plan.segments if s.placement is Placement.STABLEHLO]


@pytest.mark.parametrize("engines", [("xla", "iree"), ("iree", "xla"), ("xla", "xla-eigen")])
def test_segments_on_different_engines_are_eager(engines: tuple[str, str]) -> None:
    lowered = islands()
    _, second = first_nodes(lowered)
    compiled = compile_configured(lowered, Configuration(engines[0], {second: engines[1]}))
    assert compiled.report.plan == lowered.plan, "nothing moved"
    eager = Islands()
    for call in range(3):
        x = torch.randn(8, 8, generator=torch.Generator().manual_seed(call))
        ours, theirs = x.clone(), x.clone()
        got, want = compiled(ours), eager(theirs)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(torch.as_tensor(compiled.buffers["seen"]), eager.seen)


def test_a_value_passes_from_one_engine_to_the_other() -> None:
    """Without an ATen segment between: a handle of one engine is an argument of the other."""
    lowered = islands()
    _, second = first_nodes(lowered)
    compiled = compile_configured(lowered, Configuration("xla", {second: "iree"}))
    names = {s.index: set(s.outputs) for s in lowered.plan.segments}
    crossing = set(lowered.plan.segments[2].inputs) & names[0]
    assert crossing, "the last segment reads what the first makes"
    before = compiled.report.copies
    compiled(torch.ones(8, 8))
    assert compiled.report.copies == before, "and no copy is made"


def test_moved_nodes_run_on_aten() -> None:
    lowered = bridge.lower(Convolutions(), (torch.randn(1, 3, 8, 8),))
    found = dict(splits(lowered))["xla, convolutions on aten"]
    compiled = compile_configured(lowered, found)
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(compiled(x), Convolutions()(x))
    on_aten = [n for s in compiled.report.plan.segments if s.placement is Placement.ATEN for n in s.nodes]
    assert "conv2d" in on_aten


# ----------------------------------------------------------------------------------------------- candidates


class Spread(torch.nn.Module):
    """Tensors of which several elements lie in one place."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = (x * 2).sin().exp()
        windows = y.unfold(1, 3, 1)
        return y.unsqueeze(0).expand(3, 4, 5).tanh(), windows.tanh()


def test_aten_gets_expanded_and_overlapping_tensors_of_an_engine() -> None:
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    lowered = bridge.lower(Spread(), (x,))
    moved = {node.name: "a test" for node in lowered.functional.graph.nodes if "tanh" in node.target}
    compiled = compile_configured(lowered, Configuration("xla", moved=moved))
    for got, want in zip(compiled(x), Spread()(x), strict=True):
        torch.testing.assert_close(got, want)


class Attentive(torch.nn.Module):
    """A layer, its heads side by side, attention over them, a layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = torch.nn.Linear(16, 48)
        self.last = torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [part.unflatten(2, (2, 8)).transpose(1, 2) for part in self.inner(x).chunk(3, 2)]
        mixed = torch.nn.functional.scaled_dot_product_attention(*heads)
        return self.last(mixed.transpose(1, 2).reshape(x.shape)).relu()


def test_a_family_moves_with_the_views_around_it() -> None:
    lowered = bridge.lower(Attentive(), (torch.randn(1, 6, 16),))
    found = dict(candidates.split(lowered.functional, lowered.plan, "cpu", lambda name: True))
    moved = found["xla, attention on aten"].moved
    targets = [node.target for node in lowered.functional.graph.nodes if node.name in moved]
    assert "aten.scaled_dot_product_attention.default" in targets
    assert sum("transpose" in target for target in targets) == 4
    assert not any("linear" in target or "relu" in target for target in targets)
    compiled = compile_configured(lowered, found["xla, attention on aten"])
    x = torch.randn(1, 6, 16)
    torch.testing.assert_close(compiled(x), Attentive()(x))


def test_what_is_tried() -> None:
    lowered = mlp()
    names = [name for name, _ in candidates.whole(lowered.functional, lowered.plan, "cpu")]
    assert names[0] == ATEN, "the simplest is what others have to beat"
    assert {"aten, packed", "xla", "iree"} <= set(names)
    on_device = dict(candidates.whole(lowered.functional, lowered.plan, "cuda"))
    assert not {ATEN, "aten, packed"} & on_device.keys()
    assert not list(splits(lowered)), "there is nothing that goes together"


@pytest.mark.parametrize(
    ("layer", "packs"),
    [
        (torch.nn.Linear(4, 4), True),
        (torch.nn.Conv1d(2, 2, 1), True),
        (torch.nn.LSTM(4, 4), True),
        (torch.nn.Tanh(), False),
        (torch.nn.LayerNorm(4), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_packed_weights_are_tried_where_there_are_some(layer: torch.nn.Module, packs: bool) -> None:
    lowered = bridge.lower(layer.eval(), (torch.ones(2, 2, 4),))
    found = [name for name, _ in candidates.whole(lowered.functional, lowered.plan, "cpu")]
    assert ("aten, packed" in found) == packs


def test_a_split_that_lost_by_far_is_not_tried_on_the_next_engine() -> None:
    lowered = bridge.lower(Convolutions(), (torch.randn(1, 3, 8, 8),))
    assert len(list(splits(lowered))) == 2
    assert [name for name, _ in splits(lowered, lost=True)] == ["xla, convolutions on aten"]


def splits(lowered: bridge.Lowered, lost: bool = False) -> Iterator[candidates.Candidate]:
    return candidates.split(lowered.functional, lowered.plan, "cpu", lambda name: lost)


def test_nothing_but_aten_is_tried_where_nothing_lowers() -> None:
    lowered = bridge.lower(Eigenvalues(), (torch.eye(3),))
    assert [name for name, _ in candidates.whole(lowered.functional, lowered.plan, "cpu")] == [ATEN]


class Eigenvalues(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x)


def test_each_segment_where_it_took_least() -> None:
    plan = islands().plan
    kinds = [segment.placement for segment in plan.segments]
    assert kinds == [Placement.STABLEHLO, Placement.ATEN, Placement.STABLEHLO]
    found = candidates.mixed(plan, {"xla": (1.0, 9.0, 4.0), "iree": (2.0, 9.0, 3.0)})
    assert found is not None
    assert [found[1].choice_of(plan.segments[i]) for i in (0, 2)] == ["xla", "iree"]
    onto = candidates.mixed(plan, {"xla": (1.0, 9.0, 4.0), ATEN: (2.0, 9.0, 3.0)})
    assert onto is not None
    assert set(onto[1].moved) == set(plan.segments[2].nodes)
    assert candidates.mixed(plan, {"xla": (1.0, 9.0, 3.0), "iree": (2.0, 0.0, 4.0)}) is None
    assert candidates.mixed(plan, {}) is None


# ------------------------------------------------------------------------------------------------ searches


def test_the_loser_of_a_search_goes_and_the_winner_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = mlp()
    times = {ATEN: 5.0, "aten, packed": 4.0, "iree": 3.0, "xla": 1.0, "xla-eigen": 0.99}
    run_with(monkeypatch, times)
    compiled = lowered.compile("auto")
    tuning = lowered.tuning
    assert tuning is not None
    # A gain of one per cent is none.
    assert tuning.chosen == "xla"
    assert {trial.name: trial.seconds for trial in tuning.trials}.items() <= times.items()
    assert {binary.engine for binary in lowered.binaries.values()} == {"xla"}
    assert len(lowered.binaries) == 1
    assert compiled.report.engine == "auto"


def run_with(monkeypatch: pytest.MonkeyPatch, times: dict[str, float]) -> None:
    """Candidates take these times, whatever they take."""
    names: dict[int, str] = {}
    make = search.Side

    def side(name: str, runner: Any, used: set[str]) -> search.Side:
        names[id(runner)] = name
        return make(name, runner, used)

    monkeypatch.setattr(search, "Side", side)
    monkeypatch.setattr(race.Runner, "turn", lambda self: times[names[id(self)]])
    monkeypatch.setattr(
        search, "race", lambda one, other, seconds: (times[names[id(one)]], times[names[id(other)]])
    )


@pytest.mark.parametrize(
    ("again", "chosen"), [({ATEN: 5.0, "xla": 5.1}, ATEN), ({ATEN: 5.0, "xla": 4.8}, "xla"), ({}, "xla")]
)
def test_who_was_ahead_by_little_races_eager_again(
    monkeypatch: pytest.MonkeyPatch, again: dict[str, float], chosen: str
) -> None:
    times = {ATEN: 5.0, "aten, packed": 6.0, "iree": 7.0, "xla": 4.7 if again else 4.0, "xla-eigen": 9.0}
    lowered = mlp()
    run_with(monkeypatch, times)
    confirm = search.Search._confirm

    def later(self: search.Search) -> None:
        times.update(again)
        confirm(self)

    monkeypatch.setattr(search.Search, "_confirm", later)
    lowered.compile("auto")
    tuning = lowered.tuning
    assert tuning is not None
    assert tuning.chosen == chosen
    trial = next(trial for trial in tuning.trials if trial.name == "xla")
    assert trial.seconds == times["xla"]
    assert trial.against == pytest.approx(times["xla"] / 5.0)


def test_what_fails_is_a_trial_with_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = search.compile_configured

    def compile_but_iree(lowered: Any, configuration: Configuration, *rest: Any) -> Any:
        if configuration.choice == "iree":
            raise EngineError("iree: out of order")
        return real(lowered, configuration, *rest)

    monkeypatch.setattr(search, "compile_configured", compile_but_iree)
    lowered = mlp()
    lowered.compile("auto")
    assert lowered.tuning is not None
    trial = next(trial for trial in lowered.tuning.trials if trial.name == "iree")
    assert trial.seconds is None
    assert trial.problem == "EngineError: iree: out of order"


def test_what_gives_other_results_than_eager_does_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    real, other = search.compile_configured, mlp(seed=1)

    def compile_wrong_on_iree(lowered: Any, configuration: Configuration, *rest: Any) -> Any:
        return real(other if configuration.choice == "iree" else lowered, configuration, *rest)

    monkeypatch.setattr(search, "compile_configured", compile_wrong_on_iree)
    lowered = mlp()
    lowered.compile("auto")
    assert lowered.tuning is not None
    trials = {trial.name: trial for trial in lowered.tuning.trials}
    assert trials["iree"].seconds is None
    assert trials["iree"].problem.startswith("differs from eager: output 0 differs in ")
    assert trials["xla"].seconds is not None


def test_a_search_that_goes_on_compares_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = mlp()
    lowered.compile("auto", tune=0)
    monkeypatch.setattr(search, "first_difference", lambda *_: "output 0 is blue")
    lowered.compile("auto", tune=60)
    assert lowered.tuning is not None
    first, *later = lowered.tuning.trials
    assert first.problem == ""
    assert later
    assert all(trial.problem for trial in later)


# ------------------------------------------------------------------------------------------- what is kept


def test_nothing_is_measured_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lowered = mlp()
    lowered.compile("auto")
    loaded = bridge.load(lowered.save(tmp_path / "a.bridge"))
    assert loaded.tuning == lowered.tuning

    def never(*args: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(search.Search, "run", never)
    x = torch.randn(2, 4)
    torch.testing.assert_close(loaded.compile("auto")(x), lowered.compile("aten")(x))
    lowered.compile("auto", tune=1.0)
    assert loaded.tuning is not None
    loaded.tuning = replace(loaded.tuning, host={**loaded.tuning.host, "cores": "77"})
    with pytest.raises(AssertionError, match="measured again"):
        loaded.compile("auto")


def test_a_search_without_time_goes_on_later() -> None:
    lowered = mlp()
    lowered.compile("auto", tune=0)
    first = lowered.tuning
    assert first is not None
    assert [trial.name for trial in first.trials] == [ATEN]
    assert not first.complete
    lowered.compile("auto")
    assert lowered.tuning is first, "a plain call takes what there is"
    lowered.compile("auto", tune=60)
    assert lowered.tuning is not None
    assert lowered.tuning.complete
    assert lowered.tuning.trials[0] is first.trials[0], "and what was measured is not measured again"
    assert len(lowered.tuning.trials) > 2


def test_a_call_can_be_given() -> None:
    class Guarded(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._assert_async(x.sum() > 1000)
            return x * 2 + 1

    lowered = bridge.lower(Guarded(), (torch.full((4,), 500.0),))
    lowered.compile("auto")
    assert lowered.tuning is not None
    assert "drawn" in lowered.tuning.problem
    assert lowered.tuning.chosen == "xla"
    lowered.tuning = None
    lowered.compile("auto", args=(torch.full((4,), 500.0),))
    assert lowered.tuning is not None
    assert not lowered.tuning.problem


def test_inputs_and_generator_are_left_alone() -> None:
    lowered = islands()
    x = torch.ones(8, 8)
    before = torch.get_rng_state()
    compiled = lowered.compile("auto", tune=0, args=(x,))
    assert torch.equal(x, torch.ones(8, 8))
    assert torch.equal(before, torch.get_rng_state())
    assert not compiled.buffers["seen"].any(), "what is returned begins with the program's own buffers"
    assert compiled.report.calls == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "xla", "tune": 1.0}, "there is nothing to tune on the engine xla"),
        ({"engine": "auto", "tune": -1.0}, "tuning takes a number of seconds, 0 or more, not -1.0"),
        ({"engine": "auto", "tune": float("nan")}, "not nan"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lowered_sample("mlp").compile(**options)
