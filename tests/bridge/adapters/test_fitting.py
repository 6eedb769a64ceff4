"""Adapters that fit a program, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bridge
from bridge.adapters.fitting import fitted
from bridge.adapters.reading import read_adapter
from bridge.compiled.adapters import AdapterRefused
from tests.bridge.adapters.layers import X, network, pairs, state_dict


class Wrapped(torch.nn.Module):
    """The network inside another module, with a linear layer of its own."""

    def __init__(self, **parts: torch.nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum((part(x) for part in self.children()), torch.zeros(()))


def fit(made: torch.nn.Module, given: Any, x: torch.Tensor = X) -> Any:
    lowered = bridge.lower(made, (x,))
    return fitted(lowered.functional, lowered.weights, read_adapter(given, 1.0))


def test_layers_and_their_calls() -> None:
    found = {one.layer.weight: one for one in fit(network(), state_dict(pairs(0)))}
    assert list(found) == sorted(f"{name}.weight" for name in pairs(0))
    assert found["up.weight"].layer.names == ("up.weight", "again.weight")
    assert {name: len(one.calls) for name, one in found.items()} == dict.fromkeys(found, 1)
    assert {name for name, one in found.items() if one.calls[0].in_out} == {"turned.weight"}
    assert {name for name, one in found.items() if one.calls[0].convolves} == {
        "conv.weight", "grouped.weight",
    }  # fmt: skip


def test_a_program_may_wrap_the_module_that_an_adapter_is_for() -> None:
    (one,) = fit(Wrapped(model=Wrapped(inner=network())), state_dict(pairs(0, 2, "down")))
    assert one.layer.weight == "model.inner.down.weight"
    assert len(fit(Wrapped(a=network(), b=network()), state_dict(pairs(0, 2, "down"), "b."))) == 1


def refusal(made: torch.nn.Module, given: Any, x: torch.Tensor = X) -> str:
    with pytest.raises(AdapterRefused) as caught:
        fit(made, given, x)
    return str(caught.value)


def test_an_adapter_for_one_of_several_modules() -> None:
    assert refusal(Wrapped(a=network(), b=network()), state_dict(pairs(0, 2, "down"))) == (
        "the adapter may be for 'a' or 'b': put the module's name before the names of its layers"
    )
    two = Wrapped(a=torch.nn.Linear(8, 8), b=torch.nn.Sequential(torch.nn.Linear(8, 8)))
    given = {
        f"{path}.lora_{name}.weight": torch.ones(sizes)
        for path in ("a", "0")
        for name, sizes in (("A", (1, 8)), ("B", (8, 1)))
    }
    assert refusal(two, given) == (
        "the layers that the adapter changes are of different modules of the program"
    )


class Dilated(torch.nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, 3, **options)
        self.back = torch.nn.ConvTranspose1d(1, 4, 3)
        self.table = torch.nn.Embedding(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.back(x).sum() + self.table(torch.tensor([1])).sum()


def two(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {f"{name}.lora_A.weight": torch.ones(first), f"{name}.lora_B.weight": torch.ones(second)}


def test_sizes_and_dtypes() -> None:
    made = network()
    assert refusal(made, two("dwn", (2, 8), (6, 2))) == (
        "the adapter changes dwn, which the program does not have; did you mean `down`?"
    )
    assert refusal(made, two("down", (2, 9), (6, 2))) == (
        "the adapter does not fit down: its matrices are [2, 9] and [6, 2], not [2, 8] and [6, 2]"
    )
    assert refusal(made, two("down", (2, 8), (6, 3))) == (
        "the adapter does not fit down: its matrices are [2, 8] and [6, 3], not [2, 8] and [6, 2]"
    )
    assert refusal(made, two("conv", (2, 1), (4, 2))) == (
        "the adapter does not fit conv: its matrices are [2, 1] and [4, 2], not [2, 1, 3] and [4, 2]"
    )
    assert refusal(made, two("grouped", (3, 4, 1), (4, 1, 1))).startswith("the adapter does not fit grouped")
    mixed = two("down", (2, 8), (6, 2))
    mixed["down.lora_A.weight"] = mixed["down.lora_A.weight"].double()
    assert refusal(made, mixed) == (
        "the adapter does not fit down: its matrices are float64 and float32, not of one floating-point dtype"
    )


def test_layers_that_are_not_supported() -> None:
    x = torch.ones(1, 1, 8)
    assert refusal(Dilated(dilation=2), two("conv", (2, 1, 3), (4, 2, 1)), x) == (
        "the adapter does not fit conv: adapters of transposed or dilated convolutions are not supported"
    )
    for name in ("back", "table"):
        assert refusal(Dilated(), two(name, (2, 1, 3), (4, 2, 1)), x) == (
            f"the adapter changes {name}, and the program calls no linear layer or convolution with its "
            "weight"
        )
