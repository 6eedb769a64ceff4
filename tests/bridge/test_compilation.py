"""Compiling: what an engine refuses, when it compiles or when it loads, runs on ATen for its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bridge
from bridge import binaries, compilation, dispatch, segment_compiler
from bridge.binaries import Binary, cache_key
from bridge.compiled.compiled import Compiled
from bridge.errors import UsageError
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.passes import stablehlo_pass, stablehlo_pipeline
from lowering.targets import sources
from lowering.targets.target import TargetOptions
from tests.bridge.engines import Refusal, TestEngine


class Chain(torch.nn.Module):
    """Ten operators in a row, with a weight and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x).tanh().exp().sin()
        self.seen.add_(y.sum(0))
        return (y * 2 + self.seen).cos().sigmoid().sqrt()


X = torch.linspace(-1, 1, 8).reshape(2, 4)


@pytest.fixture
def lowered() -> bridge.Lowered:
    return bridge.lower(Chain(), (X,))


@pytest.fixture
def engine(lowered: bridge.Lowered, monkeypatch: pytest.MonkeyPatch) -> TestEngine:
    fake = TestEngine(lowered)
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: fake)
    return fake


def _compile(lowered: bridge.Lowered) -> Compiled:
    compiled = lowered.compile("iree", on_new_size="wait")
    assert isinstance(compiled, Compiled)
    return compiled


def _equals_eager(compiled: Compiled) -> None:
    module = Chain()
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(compiled(X), module(X))
    torch.testing.assert_close(torch.as_tensor(compiled.buffers["seen"]), module.seen)


def refuses(node: str, named: bool) -> Refusal:
    """An engine that cannot do this node, and says which it was or does not."""
    return lambda nodes: ("no such instruction", node if named else None) if node in nodes else None


def test_everything_on_the_engine(lowered: bridge.Lowered, engine: TestEngine) -> None:
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.nodes(Placement.ATEN) == 0
    assert len(engine.compiled) == len(engine.loaded) == 1
    assert [b.engine for b in lowered.binaries.values()] == ["iree"]


@pytest.mark.parametrize("when", ["at_compile", "at_load"])
def test_a_refused_node_that_is_named_moves_alone(
    when: str, lowered: bridge.Lowered, engine: TestEngine
) -> None:
    setattr(engine, when, refuses("sin", named=True))
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.plan.reasons["sin"] == "iree: no such instruction"
    assert compiled.report.nodes(Placement.STABLEHLO) > 3
    assert compiled.report.fallbacks == []
    assert "sin" not in lowered.plan.reasons, "what was lowered stays as it was"


@pytest.mark.parametrize("when", ["at_compile", "at_load"])
def test_a_refused_segment_moves_whole_where_no_node_is_named(
    when: str, lowered: bridge.Lowered, engine: TestEngine
) -> None:
    setattr(engine, when, refuses("sin", named=False))
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.nodes(Placement.STABLEHLO) == 0
    assert set(compiled.report.plan.reasons.values()) == {"iree: no such instruction"}
    assert len(engine.compiled) == 1


@pytest.mark.parametrize("when", ["at_compile", "at_load"])
@pytest.mark.parametrize("named", [True, False])
def test_an_engine_that_always_refuses_is_asked_a_bounded_number_of_times(
    when: str, named: bool, lowered: bridge.Lowered, engine: TestEngine
) -> None:
    setattr(engine, when, lambda nodes: ("nothing works", nodes[0] if named else None))
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.nodes(Placement.STABLEHLO) == 0
    assert len(engine.compiled) <= 2 * compilation._MOVES
    assert all(
        reason.startswith(("iree: nothing", "too little")) for reason in compiled.report.plan.reasons.values()
    )


def test_the_number_of_moves_is_bounded(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Long(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(60):
                x = (x.sin() + 1).cos().exp().tanh()
            return x

    lowered = bridge.lower(Long(), (X,))
    engine.lowered = lowered
    engine.at_compile = lambda nodes: ("no", nodes[len(nodes) // 2])
    compiled = _compile(lowered)
    assert len(engine.compiled) <= 3 * compilation._MOVES
    torch.testing.assert_close(compiled(X), Long()(X))


def test_a_node_elsewhere_is_not_believed(lowered: bridge.Lowered, engine: TestEngine) -> None:
    engine.at_compile = lambda nodes: ("no", "a node of another program")
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.nodes(Placement.STABLEHLO) == 0


def test_a_binary_that_does_not_load_is_made_anew(lowered: bridge.Lowered, engine: TestEngine) -> None:
    _compile(lowered)
    (key,) = lowered.binaries
    lowered.binaries[key] = Binary("iree", "1", "cpu", b"of another version")
    engine.compiled.clear()
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.nodes(Placement.ATEN) == 0
    assert len(engine.compiled) == 1
    assert lowered.binaries[key].code == b"compiled"


def test_binaries_at_hand_are_not_compiled_again(lowered: bridge.Lowered, engine: TestEngine) -> None:
    _compile(lowered)
    engine.compiled.clear()
    _equals_eager(_compile(lowered))
    assert engine.compiled == []


def _dynamic() -> bridge.Lowered:
    sizes = {"x": {0: torch.export.Dim("n", min=2, max=500)}}
    return bridge.lower(Chain(), (X,), dynamic_shapes=sizes)


def test_a_dynamic_segment_that_does_not_load_moves_before_any_call(engine: TestEngine) -> None:
    lowered = engine.lowered = _dynamic()
    engine.at_load = refuses("sin", named=True)
    compiled = _compile(lowered)
    _equals_eager(compiled)
    assert compiled.report.plan.reasons["sin"] == "iree: no such instruction"
    assert compiled.report.fallbacks == []


def test_binaries_of_other_sizes_are_not_kept_forever(
    engine: TestEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_KEPT", 3)
    lowered = engine.lowered = _dynamic()
    compiled = _compile(lowered)
    kept = set(lowered.binaries)
    for n in range(3, 30):
        assert compiled(torch.ones(n, 4)).shape == (n, 4)
    assert len(engine.compiled) == 28
    assert set(lowered.binaries) == kept, "an artifact keeps those of the example sizes"


def test_a_size_without_stablehlo_runs_on_aten(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = engine.lowered = _dynamic()
    compiled = _compile(lowered)

    def unsupported(*_: object) -> None:
        raise Unsupported("the size 7 is unlucky")

    monkeypatch.setattr(bridge.Lowered, "specialise", unsupported)
    expected = Chain()
    with torch.no_grad():
        torch.testing.assert_close(compiled(torch.ones(7, 4)), expected(torch.ones(7, 4)))
    (fallback,) = compiled.report.fallbacks
    assert fallback.reason == "no StableHLO at these sizes: the size 7 is unlucky"


@pytest.mark.parametrize(
    ("engine_name", "device", "message"),
    [
        ("tpu", "cpu", "the engine 'tpu' does not exist; there are iree, xla, aten"),
        ("iree", "tpu", "the device 'tpu' does not exist; there are cpu, cuda"),
        ("iree", "cuda:x", "the device 'cuda:x' does not exist; there are cpu, cuda, cuda:1 and so on"),
        ("iree", "cpu:0", "the device 'cpu:0' does not exist"),
        ("aten", "cuda:1", "the engine aten runs on the cpu only; cuda:1 is for"),
        ("aten", "cuda", "the engine aten runs on the cpu only; cuda is for iree and xla"),
    ],
)
def test_what_does_not_exist_is_refused(
    engine_name: str, device: str, message: str, lowered: bridge.Lowered
) -> None:
    with pytest.raises(UsageError, match=message):
        lowered.compile(engine_name, device)


def test_a_device_that_is_not_there_is_no_reason_to_run_elsewhere(
    lowered: bridge.Lowered, engine: TestEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object) -> None:
        raise EngineError("iree: it finds no usable cuda device")

    monkeypatch.setattr(engine, "from_tensor", nowhere)
    for device in ("cuda", "cuda:3"):
        with pytest.raises(UsageError, match=f"the device {device} cannot be used: iree: it finds no usable"):
            lowered.compile("iree", device)


def test_a_loaded_program_has_its_device(
    lowered: bridge.Lowered, engine: TestEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[TargetOptions] = []
    path = lowered.save(tmp_path / "a.bridge")
    monkeypatch.setattr(engine, "from_tensor", lambda tensor, target: seen.append(target))
    for module in (dispatch, segment_compiler):
        monkeypatch.setattr(module, "get_engine", lambda name: engine)
    loaded = bridge.load(path, device="cuda:1")
    assert {target.place for target in seen} == {"cuda:1"}
    compiled = loaded.compile("iree")
    assert isinstance(compiled, Compiled)
    assert compiled.executor.binder.devices == {"cpu", "cuda"}
    # A binary is of a kind of device.
    assert {binary.device for binary in loaded.binaries.values()} == {"cuda"}
    monkeypatch.undo()
    with pytest.raises(UsageError, match="the device 'gpu' does not exist"):
        bridge.load(path, device="gpu")


CHANGES = {
    "name": "xla",
    "version": lambda: "2",
    "flags": lambda target: ("--fast",),
    "pipeline": lambda target: stablehlo_pipeline("test", stablehlo_pass("keep-divisions")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_cache_key_depends_on_the_engine(
    change: str, lowered: bridge.Lowered, engine: TestEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = lowered.module(0)
    before = cache_key(module, engine, TargetOptions())
    assert before == cache_key(module, engine, TargetOptions())
    monkeypatch.setattr(engine, change, CHANGES[change])
    assert before != cache_key(module, engine, TargetOptions())


def test_a_cache_key_depends_on_the_target_the_module_and_our_sources(
    lowered: bridge.Lowered, engine: TestEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = lowered.module(0)
    keys = {
        cache_key(module, engine, TargetOptions()),
        cache_key(module, engine, TargetOptions("cuda")),
        cache_key(module, engine, TargetOptions(options={"driver": "local-sync"})),
        cache_key(replace(module, code=module.code + b"\0"), engine, TargetOptions()),
        cache_key(module, engine, TargetOptions(), rewritten=False),
    }
    monkeypatch.setattr(sources, "_digest", lambda roots: "edited")
    keys.add(cache_key(module, engine, TargetOptions()))
    assert len(keys) == 6
