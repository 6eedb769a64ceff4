"""Calls with adapters: beside the program without, over the same weights and state."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge import binaries, compilation
from bridge.compiled.adapters import AdapterRefused
from tests.bridge.adapters.layers import Pairs, X, eager, network, pairs, saved, state_dict

ENGINES = ["xla", "iree", "aten", "auto"]


def compiled(engine: str, made: torch.nn.Module, x: torch.Tensor = X, **options: Any) -> bridge.Compiled:
    found = bridge.lower(made, (x,)).compile(engine, **options)
    assert isinstance(found, bridge.Compiled)
    return found


def same(found: Any, given: Pairs, scale: float, made: torch.nn.Module | None = None) -> None:
    torch.testing.assert_close(found, eager(made or network(), given, scale), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_adapters_are_chosen_by_call(engine: str, tmp_path: Path) -> None:
    f, one, other = compiled(engine, network()), pairs(1), pairs(2)
    f.add_adapter("one", saved(one, tmp_path, lora_alpha=1))
    f.add_adapter("other", state_dict(other), 2.0)
    assert f.adapters == ("one", "other")
    for _ in range(2):
        same(f.with_adapter("one")(X), one, 0.5)
        same(f.with_adapter("other")(X), other, 2.0)
        same(f(X), {}, 0.0)
    assert f.with_adapter("one")(X.numpy()).shape == f(X).shape


@pytest.mark.parametrize("engine", ["aten"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("of_adapter", [torch.float32, torch.bfloat16])
def test_on_aten_it_is_eager_s_formula_to_the_bit(
    engine: str, dtype: torch.dtype, of_adapter: torch.dtype
) -> None:
    f, given = compiled(engine, network(dtype), X.to(dtype)), pairs(1, dtype=of_adapter)
    f.add_adapter("one", state_dict(given), 0.3)
    found = f.with_adapter("one")(X.to(dtype))
    assert torch.equal(found, eager(network(dtype), given, 0.3, X.to(dtype)))


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_half_precision_on_engines(engine: str) -> None:
    x = X.bfloat16()
    f, given = compiled(engine, network(torch.bfloat16), x), pairs(1, dtype=torch.bfloat16)
    f.add_adapter("one", state_dict(given), 0.3)
    wanted = eager(network(torch.bfloat16), given, 0.3, x)
    torch.testing.assert_close(f.with_adapter("one")(x), wanted, rtol=5e-2, atol=5e-1)


def test_code_is_shared_by_adapters_of_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    f = compiled("xla", network())
    bound = f.executor.loaded.weights
    f.add_adapter("one", state_dict(pairs(1)), 1.0)
    program = f.with_adapter("one")
    assert program.executor.loaded.weights is bound

    def compile_here(*_: object) -> bytes:
        raise AssertionError("it was compiled again")

    with monkeypatch.context() as patch:
        patch.setattr(binaries.Binaries, "_compiled", compile_here)
        patch.setattr(compilation, "compile_configured", compile_here)
        f.add_adapter("two", state_dict(pairs(2)), 2.0)
        assert f.with_adapter("two").executor.loaded is program.executor.loaded
        with pytest.raises(AssertionError):
            f.add_adapter("three", state_dict(pairs(3, 4)), 2.0)
    assert f.adapters == ("one", "two")
    f.add_adapter("three", state_dict(pairs(3, 4)), 2.0)
    assert f.with_adapter("three").executor.loaded is not program.executor.loaded
    same(f.with_adapter("three")(X), pairs(3, 4), 2.0)


def test_adapters_go() -> None:
    f = compiled("aten", network())
    for name in ("one", "two"):
        f.add_adapter(name, state_dict(pairs(1)), 1.0)
    view = f.with_adapter("one")
    f.remove_adapter("one")
    assert f.adapters == ("two",)
    same(view(X), pairs(1), 1.0)
    f.add_adapter("one", state_dict(pairs(2)), 1.0)
    same(f.with_adapter("one")(X), pairs(2), 1.0)
    for name in f.adapters:
        f.remove_adapter(name)
    assert not f._adapters._programs


def test_later_writes_to_given_tensors_do_not_show() -> None:
    f, given = compiled("aten", network()), pairs(1)
    f.add_adapter("one", state_dict(given), 1.0)
    before = f.with_adapter("one")(X).clone()
    for two in given.values():
        two[0].zero_()
    assert torch.equal(f.with_adapter("one")(X), before)


@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_weights_change_for_calls_with_adapters_too(engine: str) -> None:
    f, given = compiled(engine, network()), pairs(1)
    f.add_adapter("one", state_dict(given), 0.5)
    view = f.with_adapter("one")
    changed = network()
    with torch.no_grad():
        changed.up.weight.mul_(0.5)
        changed.down.weight.mul_(2)
    f.set_weights(changed.state_dict())
    same(view(X), given, 0.5, changed)
    same(f.with_adapter("one")(X), given, 0.5, changed)
    same(f(X), {}, 0.0, changed)
    f.add_adapter("two", state_dict(pairs(2, 4)), 0.5)
    same(f.with_adapter("two")(X), pairs(2, 4), 0.5, changed)


class Counting(torch.nn.Module):
    """A state that each call adds a layer's result to."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4, bias=False)
        self.register_buffer("total", torch.zeros(2, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(self.layer(x))
        return self.total * 1


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_state_is_the_program_s(engine: str) -> None:
    torch.manual_seed(0)
    made, x = Counting().eval(), torch.randn(2, 4)
    f = compiled(engine, made, x)
    first, second = torch.randn(2, 4), torch.randn(4, 2)
    f.add_adapter("one", {"layer.lora_A.weight": first, "layer.lora_B.weight": second}, 0.5)
    plain = x @ made.layer.weight.detach().T
    more = plain + (x @ first.T @ second.T) * 0.5
    for wanted, call in (
        (plain, f),
        (plain + more, f.with_adapter("one")),
        (2 * plain + more, f),
    ):
        torch.testing.assert_close(call(x), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(f.buffers["total"], 2 * plain + more, rtol=1e-4, atol=1e-4)
    f.reset()
    torch.testing.assert_close(f.with_adapter("one")(x), more, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_threads_have_different_adapters_at_the_same_time(engine: str) -> None:
    f = compiled(engine, network())
    all_pairs = {f"adapter {seed}": pairs(seed) for seed in range(3)}
    for name, given in all_pairs.items():
        f.add_adapter(name, state_dict(given), 1.0)
    wanted: dict[str | None, torch.Tensor] = {name: f.with_adapter(name)(X).clone() for name in all_pairs}
    wanted[None] = f(X).clone()
    problems: list[BaseException] = []

    def call(name: str | None) -> None:
        try:
            program = f if name is None else f.with_adapter(name)
            for _ in range(40):
                assert torch.equal(program(X), wanted[name])
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=call, args=(name,)) for name in wanted]
    for thread in threads:
        thread.start()
    f.add_adapter("late", state_dict(pairs(9)), 1.0)
    for thread in threads:
        thread.join()
    assert not problems


# IREE compiles four binaries for all sizes, which takes a minute.
@pytest.mark.parametrize("engine", ["xla", pytest.param("iree", marks=pytest.mark.conformance), "aten"])
def test_all_sizes(engine: str) -> None:
    made, given = network(), pairs(1)
    rows = torch.export.Dim("n", min=2, max=64)
    exported = torch.export.export(made, (X,), dynamic_shapes={"x": {0: rows}})
    f = bridge.lower(exported).compile(engine, buckets={"x.0": [4, 16]}, sizes=[{"x.0": 4}])
    assert isinstance(f, bridge.Compiled)
    f.add_adapter("one", state_dict(given), 0.5)
    for size in (3, 4, 9):
        x = torch.randn(size, 8)
        found = f.with_adapter("one")(x)
        torch.testing.assert_close(found, eager(made, given, 0.5, x), rtol=1e-4, atol=1e-4)


class Cast(torch.nn.Module):
    """A layer under autocast: eager casts the adapter's matrices, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def test_under_autocast() -> None:
    torch.manual_seed(0)
    made = Cast().eval()
    f = compiled("aten", made)
    first, second = torch.randn(2, 8), torch.randn(4, 2)
    f.add_adapter("one", {"layer.lora_A.weight": first, "layer.lora_B.weight": second}, 0.3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        linear = torch.nn.functional.linear
        wanted = made.layer(X) + linear(linear(X, first), second) * 0.3
    assert torch.equal(f.with_adapter("one")(X), wanted)


def test_a_decomposed_program() -> None:
    made, given = network(), pairs(1)
    exported = torch.export.export(made, (X,)).run_decompositions()
    f = bridge.lower(exported).compile("aten")
    assert isinstance(f, bridge.Compiled)
    # Decompositions share the layers' names: all but those of one weight.
    one = {name: two for name, two in given.items() if name not in ("up", "again")}
    f.add_adapter("one", state_dict(one), 0.5)
    same(f.with_adapter("one")(X), one, 0.5)


def test_hooks_of_a_program_with_an_adapter_see_its_calls_alone() -> None:
    f = compiled("xla", network())
    for name in ("one", "two"):
        f.add_adapter(name, state_dict(pairs(1)), 1.0)
    seen: list[object] = []
    with f.with_adapter("one").on_step(seen.append):
        f(X)
        f.with_adapter("two")(X)
        assert not seen
        f.with_adapter("one")(X)
    assert len(seen) == 1


def test_names_and_places() -> None:
    f = compiled("aten", network())
    f.add_adapter("one", state_dict(pairs(1)), 1.0)
    with pytest.raises(AdapterRefused, match=r"^the adapter 'one' is there; remove it first$"):
        f.add_adapter("one", state_dict(pairs(1)), 1.0)
    for ask in (f.with_adapter, f.remove_adapter):
        with pytest.raises(AdapterRefused, match=r"^the adapter 'on' does not exist; did you mean `one`"):
            ask("on")
    view = f.with_adapter("one")
    for change in (lambda: view.set_weights({}), lambda: view.add_adapter("two", {}, 1.0)):
        with pytest.raises(
            AdapterRefused, match=r"^this program has an adapter: set weights and add adapters"
        ):
            change()
    interpreted = compilation.interpreted(bridge.lower(network(), (X,)))
    with pytest.raises(AdapterRefused, match="cannot be added to a program that runs as it was read"):
        interpreted.add_adapter("one", state_dict(pairs(1)), 1.0)
