"""What must hold of the data: a call that it does not hold for raises eager's kind of error."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge.errors import ArtifactError
from lowering.ir.module import CheckKind
from lowering.stablehlo import registry
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.value import Value
from lowering.targets.errors import ExecutionError
from tests.bridge.test_damage import edit

ENGINES = ["xla", "iree"]


class Call(torch.nn.Module):
    def __init__(self, fn: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.fn(*tensors)


def _positive(cx: Context, self: Value) -> Value:
    cx.fail_if(self < 0, "a number below 0", CheckKind.ASSERTION)
    return self


def _refuse(cx: Context, A: Value) -> Value:
    raise Unsupported("not today")


def _replace_rule(monkeypatch: pytest.MonkeyPatch, target: str, emit: Callable[..., Value]) -> None:
    registry.load_families()
    accepts = frozenset(list(signature(emit).parameters)[1:])
    monkeypatch.setitem(registry._RULES, target, registry.Rule(target, emit, accepts))


EYE = torch.eye(2)
# What is lowered, good inputs, bad inputs, the error and a part of what it says.
CASES: dict[str, tuple[Any, ...]] = {
    "index": (torch.take, (EYE, torch.tensor([3])), (EYE, torch.tensor([4])), IndexError, "out of bounds"),
    "linear algebra": (torch.linalg.inv, (EYE,), (EYE * 0,), torch.linalg.LinAlgError, "is singular"),
    "assertion": (torch.relu, (EYE,), (-EYE,), RuntimeError, "a number below 0"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", CASES)
def test_each_kind_of_check_raises_its_error(
    kind: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace_rule(monkeypatch, "aten.relu.default", _positive)
    fn, good, bad, error, says = CASES[kind]
    lowered = bridge.lower(Call(fn), good)
    assert [check.kind for check in lowered.module(0).checks] == [CheckKind(kind)]
    loaded = bridge.load(lowered.save(tmp_path / "a.bridge"))
    assert loaded.module(0).checks == lowered.module(0).checks
    compiled = loaded.compile(engine)
    torch.testing.assert_close(compiled(*good), fn(*good))
    with pytest.raises(error, match=rf"node \w+, aten\..*test_checks\.py.*{says}") as caught:
        compiled(*bad)
    assert isinstance(caught.value, ExecutionError)
    assert isinstance(caught.value, IndexError) == (kind == "index")
    assert isinstance(caught.value, torch.linalg.LinAlgError) == (kind == "linear algebra")


@pytest.mark.parametrize(
    "check", ["text", ["index"], ["magic", "text"], ["index", 3], ["index", "a", "b"], None]
)
def test_a_doctored_check_is_refused(check: Any, tmp_path: Path) -> None:
    artifact = bridge.lower(Call(torch.linalg.inv), (EYE,)).save(tmp_path / "a.bridge")
    edit(artifact, "modules.json", lambda data: data[0].update(checks=[check]))
    with pytest.raises(ArtifactError, match=r"modules\.json"):
        bridge.load(artifact)


def test_atens_own_linear_algebra_error_keeps_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_rule(monkeypatch, "aten.linalg_inv.default", _refuse)
    lowered = bridge.lower(Call(torch.linalg.inv), (EYE,))
    assert list(lowered.placement.values()) == ["aten: not today"]
    with pytest.raises(torch.linalg.LinAlgError, match=r"node linalg_inv, .*singular") as caught:
        lowered.compile("xla")(EYE * 0)
    assert isinstance(caught.value, ExecutionError)
