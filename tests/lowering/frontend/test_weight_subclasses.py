"""Weights of tensor subclasses are taken apart into plain tensors, in memory; a file's pickle is not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bridge
from bridge.errors import BridgeError
from lowering.frontend.errors import ExportError
from lowering.frontend.exported_program import export, from_exported_program


class Steps(torch.Tensor):
    """A matrix as integers and a scale for each row, which is multiplied out where it is used."""

    numbers: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor, scale: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=scale.dtype)

    def __init__(self, numbers: torch.Tensor, scale: torch.Tensor) -> None:
        self.numbers, self.scale = numbers, scale

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: dict[str, torch.Tensor], meta: None, *_: Any) -> Any:
        return cls(inner["numbers"], inner["scale"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return cls(args[0].numbers, args[0].scale)
        plain = torch.utils._pytree.tree_map_only(cls, lambda t: t.numbers.to(t.scale.dtype) * t.scale, args)
        return func(*plain, **(kwargs or {}))


def quantised(layer: nn.Linear) -> nn.Linear:
    scale = layer.weight.detach().abs().amax(1, keepdim=True) / 127
    numbers = torch.round(layer.weight.detach() / scale).to(torch.int8)
    layer.weight = nn.Parameter(Steps(numbers, scale), requires_grad=False)
    return layer


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(quantised(nn.Linear(16, 8)), nn.ReLU(), quantised(nn.Linear(8, 4))).eval()


X = torch.randn(3, 16)


@pytest.mark.parametrize("how", ["module", "exported"])
def test_a_model_of_subclasses_lowers_as_it_is(model: nn.Module, how: str) -> None:
    source = (model, (X,)) if how == "module" else (export(model, (X,)),)
    lowered = bridge.lower(*source)
    assert set(lowered.placement.values()) == {"stablehlo"}
    assert {str(view.dtype) for view in lowered.weights.views.values()} == {"int8", "float32"}
    for engine in ("xla", "aten"):
        torch.testing.assert_close(lowered.compile(engine)(X), model(X))


def test_a_file_of_subclasses_is_refused_with_the_line_that_mends_it(
    model: nn.Module, tmp_path: Path
) -> None:
    exported, path = export(model, (X,)), tmp_path / "m.pt2"
    try:
        torch.export.save(exported, path)
    except Exception as problem:  # a class of this test's own, where torch cannot pickle it
        pytest.skip(f"torch cannot write the file: {problem}")
    with pytest.raises(BridgeError, match=r"torch\.export\.save\(exported\.run_decompositions\(\{\}\)"):
        bridge.lower(path)
    torch.export.save(exported.run_decompositions({}), path)
    torch.testing.assert_close(bridge.lower(path).compile("xla")(X), model(X))


def test_a_subclass_that_cannot_be_taken_apart(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = export(model, (X,))

    def fails(*_: Any) -> Any:
        raise ValueError("no such part\nand more")

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", fails)
    with pytest.raises(
        ExportError, match=r"the weight '0\.weight', a Steps, apart into plain.*: no such part$"
    ):
        from_exported_program(exported)
