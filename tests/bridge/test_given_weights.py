"""Programs without values, and programs with other weights than their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch._subclasses import FakeTensorMode

import bridge
from bridge.given_weights import WeightsRefused
from lowering.ir.weights import AbsentWeights
from tests.bridge.command_line import ok, refused

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Tied(torch.nn.Module):
    """Two layers of one matrix, a norm with buffers, and a table that the program makes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.two(self.one(x))) + torch.arange(4.0, device=x.device)


def module(seed: int = 0) -> Tied:
    torch.manual_seed(seed)
    return Tied().eval()


def on_meta() -> torch.export.ExportedProgram:
    with torch.device("meta"):
        return torch.export.export(Tied().eval(), (torch.empty(3, 4),))


def of_fakes() -> torch.export.ExportedProgram:
    with FakeTensorMode():
        return torch.export.export(Tied().eval(), (torch.empty(3, 4),))


def in_file(exported: torch.export.ExportedProgram, folder: Path) -> Path:
    torch.export.save(exported, folder / "model.pt2")
    return folder / "model.pt2"


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("make", [on_meta, of_fakes])
@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_a_program_without_values_gets_them(
    tmp_path: Path, make: Callable[[], Any], saved: bool, engine: str
) -> None:
    source = in_file(make(), tmp_path) if saved else make()
    lowered = bridge.lower(source)
    assert all(placement == "stablehlo" for placement in lowered.placement.values())
    with pytest.raises(AbsentWeights, match=r"no values for one\.weight and 8 more"):
        lowered.compile(engine)
    real = module()
    with torch.no_grad():
        expected = real(X)
    torch.testing.assert_close(lowered.compile(engine, weights=real.state_dict())(X), expected)


def test_an_artifact_without_values(tmp_path: Path) -> None:
    artifact = bridge.lower(on_meta()).save(tmp_path / "m.bridge")
    real = module()
    save_file({n: t for n, t in real.state_dict().items() if n != "two.weight"}, tmp_path / "w.safetensors")
    with pytest.raises(AbsentWeights):
        bridge.load(artifact).compile("aten")
    with torch.no_grad():
        expected = real(X)
    found = bridge.load(artifact, weights=tmp_path / "w.safetensors").compile("xla")(X)
    torch.testing.assert_close(found, expected)


def test_other_weights_than_its_own(tmp_path: Path) -> None:
    lowered, other = bridge.lower(module(0), (X,)), module(1)
    with torch.no_grad():
        mine, theirs = module(0)(X), other(X)
    torch.save(other.state_dict(), tmp_path / "w.pt")
    torch.export.save(torch.export.export(other, (X,)), tmp_path / "w.pt2")
    artifact = bridge.lower(other, (X,)).save(tmp_path / "w.bridge")
    for weights in (other.state_dict(), tmp_path / "w.pt", tmp_path / "w.pt2", artifact):
        torch.testing.assert_close(lowered.compile("xla", weights=weights)(X), theirs)
    torch.testing.assert_close(lowered.compile("xla")(X), mine)
    given = bridge.lower(module(0), (X,), weights=tmp_path / "w.pt")
    torch.testing.assert_close(given.compile("xla")(X), theirs)


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    given = module().state_dict()
    del given["one.bias"]
    given |= {"more": torch.ones(1), "norm.weight": torch.ones(5), "norm.bias": torch.ones(4).half()}
    lowered = bridge.lower(module(), (X,))
    check = bridge.validate_weights(lowered, given)
    assert (check.missing, check.unexpected) == (("one.bias",), ("more",))
    assert check.sizes == {"norm.weight": ((4,), (5,))}
    assert check.dtypes == {"norm.bias": ("float32", "float16")}
    with pytest.raises(WeightsRefused) as caught:
        lowered.compile("aten", weights=given)
    assert str(caught.value).splitlines() == [
        "the weights do not fit the program:",
        "  missing: one.bias",
        "  unexpected: more",
        "  sizes of norm.weight: [4], not [5]",
        "  dtype of norm.bias: float32, not float16",
    ]
    assert bridge.validate_weights(lowered.program, module().state_dict())


def test_tied_weights() -> None:
    """One of a pair is enough; two that differ are refused, since the program has one."""
    lowered, given = bridge.lower(module(), (X,)), module(1).state_dict()
    one = {name: tensor for name, tensor in given.items() if name != "two.weight"}
    with torch.no_grad():
        torch.testing.assert_close(lowered.compile("xla", weights=one)(X), module(1)(X))
    check = bridge.validate_weights(lowered, {**given, "two.weight": torch.ones(4, 4)})
    assert check.untied == (("one.weight", "two.weight"),)
    assert not check


def test_a_cast_is_made_when_asked_for() -> None:
    lowered, real = bridge.lower(module(), (X,)), module(1)
    wide = {n: t.double() if t.is_floating_point() else t for n, t in real.state_dict().items()}
    with pytest.raises(WeightsRefused, match=r"dtype of one\.weight: float32, not float64"):
        lowered.compile("xla", weights=wide)
    with torch.no_grad():
        torch.testing.assert_close(lowered.compile("xla", weights=wide, cast_weights=True)(X), real(X))
    integers = {**wide, "norm.num_batches_tracked": torch.tensor(0.0)}
    assert bridge.validate_weights(lowered, integers, cast=True).dtypes == {
        "norm.num_batches_tracked": ("int64", "float32")
    }


class Counting(torch.nn.Module):
    """A table that no state dict has, and a count that the program writes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.register_buffer("count", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(1)
        return x + self.table + self.count


def test_buffers_that_no_state_dict_has_keep_their_values() -> None:
    lowered = bridge.lower(Counting(), (X,))
    compiled = lowered.compile("xla", weights={"count": torch.full((4,), 5.0)})
    torch.testing.assert_close(compiled(X), X + torch.arange(4.0) + 6)
    torch.testing.assert_close(compiled(X), X + torch.arange(4.0) + 7)


def test_on_the_command_line(tmp_path: Path) -> None:
    model, real = in_file(on_meta(), tmp_path), module()
    torch.save(real.state_dict(), tmp_path / "w.pt")
    np.save(tmp_path / "x.npy", X.numpy())
    given = ("-e", "xla", "--weights", tmp_path / "w.pt")
    ok("run", model, *given, "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    with torch.no_grad():
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), real(X).numpy(), 1e-4, 1e-5)
    ok("verify", model, *given)
    ok("lower", model, *given, "-o", tmp_path / "m.bridge")
    ok("run", tmp_path / "m.bridge", "-e", "xla", "-i", tmp_path / "x.npy")
    refused("the program has no values for one.weight", "run", model, "-i", tmp_path / "x.npy")
    refused("--cast-weights is for --weights", "run", model, "--cast-weights", "-i", tmp_path / "x.npy")
    refused("no such file", "run", model, "--weights", tmp_path / "gone.pt", "-i", tmp_path / "x.npy")


def test_verified_against_the_module_that_the_weights_are_of(tmp_path: Path) -> None:
    real = module(3)
    torch.save(real.state_dict(), tmp_path / "w.pt")
    exported = on_meta()
    given: dict[str, Any] = {"engines": ["xla"], "weights": tmp_path / "w.pt"}
    report = bridge.verify(exported, (X,), against=real, **given)
    assert report.passed
    assert report.reference == "the module Tied"
    assert "| xla | output 0 | float32[3, 4] |" in report.outputs()
    assert not bridge.verify(exported, (X,), against=module(4), **given).passed
    with pytest.raises(AbsentWeights):
        bridge.verify(exported, (X,))


def test_a_tolerance_in_place_of_the_tables() -> None:
    lowered, off = bridge.lower(module(), (X,)), module()
    with torch.no_grad():
        off.norm.bias += 1e-2
    row = bridge.verify(lowered, (X,), engines=["aten"], against=off).engines[0].differences[0]
    assert (row.passed, row.type) == (False, "float32[3, 4]")
    assert row.error == pytest.approx(1e-2, rel=1e-3)
    assert row.mean == pytest.approx(1e-2, rel=1e-3)
    assert bridge.verify(lowered, (X,), engines=["aten"], against=off, atol=2e-2).passed
    assert not bridge.verify(lowered, (X,), engines=["aten"], against=off, atol=1e-3).passed
