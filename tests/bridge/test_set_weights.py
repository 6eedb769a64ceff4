"""Weights that change: a compiled program gets others, between calls, and compiles nothing."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import bridge
from bridge import binaries
from bridge.compiled.interpreted import Interpreted
from bridge.given_weights import WeightsRefused
from lowering.ir.weights import AbsentWeights

ENGINES = ["xla", "iree", "aten"]
X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


class Layers(torch.nn.Module):
    """Two layers of one matrix, a norm, a head, and a table that no state dict has."""

    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)
        self.head = torch.nn.Linear(8, 4)
        self.two.weight = self.one.weight
        self.register_buffer("table", torch.arange(8.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.two(torch.relu(self.one(x)))) + self.table)


class Split(Layers):
    """The same with a part that only ATen runs, and layers on both of its sides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        between = torch.nn.functional.gumbel_softmax(self.one(x) * 0, hard=False).detach() * 0
        return self.head(self.norm(self.two(torch.relu(self.one(x)) + between)) + self.table)


def module(seed: int, kind: type[Layers] = Layers) -> Layers:
    torch.manual_seed(seed)
    return kind().eval()


def eager(made: torch.nn.Module, x: torch.Tensor = X) -> torch.Tensor:
    with torch.no_grad():
        return made(x)


def same(found: Any, made: torch.nn.Module, x: torch.Tensor = X) -> None:
    torch.testing.assert_close(found, eager(made, x))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function after which nothing may be compiled any more."""

    def forbid() -> None:
        def compile_here(*_: object) -> bytes:
            raise AssertionError("it was compiled again")

        monkeypatch.setattr(binaries, "_compile", compile_here)
        monkeypatch.setattr(binaries.Binaries, "_compiled", compile_here)

    return forbid


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
@pytest.mark.parametrize("kind", [Layers, Split])
def test_all_or_some_get_other_values_without_a_compiler(
    engine: str, kind: type[Layers], no_compiler: Any
) -> None:
    lowered = bridge.lower(module(0, kind), (X,))
    compiled = lowered.compile(engine)
    no_compiler()
    same(compiled(X), module(0, kind))
    compiled.set_weights(module(1, kind).state_dict())
    same(compiled(X), module(1, kind))
    mixed = module(1, kind)
    mixed.load_state_dict({n: t for n, t in module(2).state_dict().items() if "head" in n}, strict=False)
    compiled.set_weights({n: t for n, t in module(2).state_dict().items() if "head" in n})
    same(compiled(X), mixed)
    compiled.set_weights({})
    same(compiled(X), mixed)


@pytest.mark.parametrize("source", ["numpy", "safetensors", "pt", "folder", "artifact", "pt2", "weights"])
def test_every_source_of_weights(source: str, tmp_path: Path) -> None:
    compiled, other = bridge.lower(module(0), (X,)).compile("aten"), module(1)
    state = {name: tensor for name, tensor in other.state_dict().items() if name != "two.weight"}
    given: Any = {name: tensor.numpy() for name, tensor in state.items()}
    if source in ("safetensors", "folder", "weights"):
        save_file(state, tmp_path / "w.safetensors")
        given = tmp_path if source == "folder" else tmp_path / "w.safetensors"
        given = bridge.read_weights(given) if source == "weights" else given
    elif source == "pt":
        torch.save(state, given := tmp_path / "w.pt")
    elif source == "artifact":
        given = bridge.lower(other, (X,)).save(tmp_path / "w.bridge")
    elif source == "pt2":
        torch.export.save(torch.export.export(other, (X,)), given := tmp_path / "w.pt2")
    compiled.set_weights(given)
    same(compiled(X), other)


@pytest.mark.parametrize("engine", ENGINES)
def test_later_writes_to_given_tensors_do_not_show(engine: str) -> None:
    compiled, trained = bridge.lower(module(0), (X,)).compile(engine), module(1)
    compiled.set_weights(trained.state_dict())
    arrays = {"head.bias": np.ones(4, np.float32)}
    compiled.set_weights(arrays)
    before = compiled(X).clone()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1)
    arrays["head.bias"][:] = 7
    assert torch.equal(compiled(X), before)
    compiled.set_weights(trained.state_dict())
    same(compiled(X), trained)


def test_views_of_any_strides_are_copied_as_they_are() -> None:
    compiled, made = bridge.lower(module(0), (X,)).compile("xla"), module(1)
    wide = torch.randn(4, 16)
    given = {"head.weight": wide[:, ::2], "one.weight": made.one.weight.detach().t().contiguous().t()}
    compiled.set_weights({**made.state_dict(), **given, "two.weight": given["one.weight"]})
    made.load_state_dict({"head.weight": wide[:, ::2]}, strict=False)
    same(compiled(X), made)
    wide += 1
    same(compiled(X), made)


def test_one_name_of_a_tied_pair_sets_both() -> None:
    for name in ("one.weight", "two.weight"):
        compiled, made = bridge.lower(module(0), (X,)).compile("aten"), module(0)
        with torch.no_grad():
            made.one.weight.mul_(2)
        compiled.set_weights({name: made.one.weight.detach()})
        same(compiled(X), made)


def test_a_cast_is_made_when_asked_for() -> None:
    compiled, made = bridge.lower(module(0), (X,)).compile("xla"), module(1)
    wide = {name: tensor.double() for name, tensor in made.state_dict().items()}
    compiled.set_weights(wide, cast_weights=True)
    same(compiled(X), made)


class Aliased(torch.nn.Module):
    """Two weights that overlap in one storage."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.arange(6.0)
        self.low, self.high = torch.nn.Parameter(whole[:4]), torch.nn.Parameter(whole[2:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.low * self.high


HEAD = torch.ones(4, 8)
REFUSED = [
    ({"more": HEAD}, {}, "unexpected: more"),
    ({"head.weight": HEAD.t()}, {}, "sizes of head.weight: [4, 8], not [8, 4]"),
    ({"head.weight": HEAD.double()}, {}, "dtype of head.weight: float32, not float64"),
    ({"head.weight": HEAD.int()}, {"cast_weights": True}, "dtype of head.weight: float32, not int32"),
    (
        {"one.weight": torch.ones(8, 8), "two.weight": torch.zeros(8, 8)},
        {},
        "tied in the program, but given values differ: one.weight, two.weight",
    ),
]


@pytest.mark.parametrize(("given", "options", "line"), REFUSED, ids=[line for *_, line in REFUSED])
@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_weights_that_do_not_fit_change_nothing(engine: str, given: Any, options: Any, line: str) -> None:
    compiled = bridge.lower(module(0), (X,)).compile(engine)
    with pytest.raises(WeightsRefused) as caught:
        compiled.set_weights({"head.bias": torch.ones(4), **given}, **options)
    assert str(caught.value) == f"the weights do not fit the program:\n  {line}"
    same(compiled(X), module(0))


def test_one_of_two_that_share_elements_is_refused() -> None:
    x = torch.ones(4)
    compiled = bridge.lower(Aliased(), (x,)).compile("aten")
    with pytest.raises(WeightsRefused, match=r"\n  low shares elements with high: give both$"):
        compiled.set_weights({"low": torch.zeros(4)})
    compiled.set_weights({"low": torch.zeros(4), "high": torch.zeros(4)})
    assert torch.equal(compiled(x), x)


def test_weights_without_values_are_refused() -> None:
    compiled = bridge.lower(module(0), (X,)).compile("aten")
    with pytest.raises(AbsentWeights, match=r"^the program has no values for head\.bias: "):
        compiled.set_weights({"head.bias": torch.ones(4, device="meta")})
    with pytest.raises(bridge.BridgeError, match="no such file"):
        compiled.set_weights("gone.safetensors")
    same(compiled(X), module(0))


def test_an_engine_that_does_not_load_them_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowering.ir.errors import EngineError
    from lowering.targets import get_engine

    compiled = bridge.lower(module(0), (X,)).compile("xla")

    def load(*_: object) -> None:
        raise EngineError("xla: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(type(get_engine("xla")), "load", load)
        with pytest.raises(EngineError, match="xla: out of memory"):
            compiled.set_weights(module(1).state_dict())
    same(compiled(X), module(0))
    assert not compiled.report.fallbacks
    compiled.set_weights(module(1).state_dict())
    same(compiled(X), module(1))


class Counting(torch.nn.Module):
    count: torch.Tensor

    def __init__(self, start: float = 0.0, step: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("count", torch.full((4,), start))
        self.by = torch.nn.Parameter(torch.full((4,), step))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(self.by)
        return x + self.count


@pytest.mark.parametrize("engine", ENGINES)
def test_a_buffer_that_calls_write_gets_its_first_value(engine: str) -> None:
    x = torch.zeros(4)
    compiled = bridge.lower(Counting(), (x,)).compile(engine)
    assert compiled(x).tolist() == [1.0] * 4
    compiled.set_weights(Counting(100.0, 10.0).state_dict())
    assert compiled(x).tolist() == [11.0] * 4
    compiled.reset()
    assert compiled(x).tolist() == [110.0] * 4


def interpreted(made: torch.nn.Module, x: torch.Tensor) -> Interpreted:
    from bridge.compilation import interpreted

    return interpreted(bridge.lower(made, (x,)))


def test_a_program_as_it_was_read() -> None:
    compiled = interpreted(module(0), X)
    trained = module(1)
    compiled.set_weights(trained.state_dict())
    same(compiled(X), trained)
    with pytest.raises(WeightsRefused):
        compiled.set_weights({"head.bias": torch.ones(9)})
    with torch.no_grad():
        trained.head.bias.add_(1)
    same(compiled(X), module(1))
    zeros = torch.zeros(4)
    counting = interpreted(Counting(), zeros)
    assert counting(zeros).tolist() == [1.0] * 4
    counting.set_weights(Counting(100.0, 10.0).state_dict())
    assert counting(zeros).tolist() == [11.0] * 4
    counting.reset()
    assert counting(zeros).tolist() == [110.0] * 4


def test_a_program_put_together_by_hand_keeps_its_weights() -> None:
    lowered = bridge.lower(module(0), (X,))
    by_hand = Interpreted(lowered.program, lowered.plan, lowered.weights)
    with pytest.raises(TypeError, match="put together by hand"):
        by_hand.set_weights({})


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_calls_beside_it_have_all_old_or_all_new(engine: str) -> None:
    """Layers of both sides of a segment on ATen: a mixture is neither result."""
    compiled = bridge.lower(module(0, Split), (X,)).compile(engine)
    states = [module(seed).state_dict() for seed in (0, 1)]
    wanted = []
    for state in (*states[::-1], states[0]):
        compiled.set_weights(state)
        wanted.append(compiled(X).clone())
    one, two = wanted[0], wanted[1]
    assert not torch.allclose(one, two)
    assert torch.equal(two, wanted[2])
    end, problems, counts = threading.Event(), [], [0, 0]

    def call() -> None:
        while not end.is_set():
            try:
                found = compiled(X)
                which = [torch.equal(found, one), torch.equal(found, two)]
                assert any(which)
                counts[which.index(True)] += 1
            except BaseException as error:
                problems.append(error)
                return

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        compiled.set_weights(states[(turn + 1) % 2])
        assert torch.equal(compiled(X), (one, two)[turn % 2])
    end.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert sum(counts) > 0


def test_a_call_that_runs_keeps_the_values_that_it_began_with() -> None:
    """A hook sets the weights of the segments that are still to come."""
    compiled = bridge.lower(module(0, Split), (X,)).compile("xla")
    assert isinstance(compiled, bridge.Compiled)
    assert len(compiled.report.plan.segments) > 1

    def other(_: object) -> None:
        compiled.set_weights(module(1).state_dict())

    with compiled.on_step(other):
        same(compiled(X), module(0))
        same(compiled(X), module(1))
    same(compiled(X), module(1))


@pytest.mark.parametrize("engine", ENGINES)
def test_old_values_go_when_no_call_has_them(engine: str) -> None:
    lowered = bridge.lower(module(0), (X,))
    compiled = lowered.compile(engine)
    compiled.set_weights(module(1).state_dict())
    assert isinstance(compiled, bridge.Compiled)
    bound = compiled.executor.loaded.weights
    alive = [weakref.ref(bound)]
    alive += [weakref.ref(s.open().base) for s in bound.weights.storages.values()]
    compiled(X)
    del bound
    given = module(2).state_dict()
    compiled.set_weights(given)
    compiled(X)
    # The table alone is of the first ones.
    assert [ref() for ref in alive if ref() is not None and ref() is not _table(compiled)] == []


def _table(compiled: bridge.Compiled) -> Any:
    weights = compiled.executor.loaded.weights.weights
    return weights.storages[weights.views["table"].storage].open().base


def batched(seed: int) -> tuple[Any, torch.nn.Module]:
    made = module(seed)
    shapes = {"x": {0: torch.export.Dim("n", min=2, max=64)}}
    return torch.export.export(made, (X,), dynamic_shapes=shapes), made


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("on_new_size", ["dynamic", "wait"])
def test_all_sizes_that_are_compiled(engine: str, on_new_size: str, no_compiler: Any) -> None:
    compiled = bridge.lower(batched(0)[0]).compile(
        engine, on_new_size=on_new_size, sizes=[{"x.0": 5}], buckets={"x.0": [5, 16]}
    )
    given = [torch.randn(n, 8) for n in (3, 4, 5)]
    if isinstance(compiled, bridge.Compiled):
        compiled.prepare({"x.0": 16})
    no_compiler()
    for seed in (0, 1, 2):
        compiled.set_weights(module(seed).state_dict())
        for x in (*given, torch.randn(9, 8)):
            same(compiled(x), module(seed), x)


def test_sizes_that_were_being_compiled_get_the_new_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.segment_compiler import SegmentCompiler

    compiled = bridge.lower(batched(0)[0]).compile("xla", on_new_size="aten")
    begun, go = threading.Event(), threading.Event()
    aside = SegmentCompiler.compile_aside

    def slow(*args: Any) -> None:
        begun.set()
        assert go.wait(60)
        aside(*args)

    monkeypatch.setattr(SegmentCompiler, "compile_aside", slow)
    x = torch.randn(7, 8)
    same(compiled(x), module(0), x)
    assert begun.wait(60)
    compiled.set_weights(module(1).state_dict())
    go.set()
    end = threading.Event()
    while not compiled.report.tiers["static"] and not end.wait(0.02):
        same(compiled(x), module(1), x)
    same(compiled(x), module(1), x)
    assert compiled.report.tiers["static"] >= 1


def test_binaries_are_saved_with_the_weights_that_are_there(tmp_path: Path) -> None:
    bridge.lower(batched(0)[0]).save(tmp_path / "m.bridge")
    compiled = bridge.load(tmp_path / "m.bridge").compile("xla")
    assert isinstance(compiled, bridge.Compiled)
    compiled.set_weights(module(1).state_dict())
    with pytest.raises(bridge.BridgeError, match="give save_binaries a path"):
        compiled.save_binaries()
    saved = compiled.save_binaries(tmp_path / "other.bridge")
    same(bridge.load(saved).compile("xla")(X), module(1))
    same(bridge.load(tmp_path / "m.bridge").compile("xla")(X), module(0))
