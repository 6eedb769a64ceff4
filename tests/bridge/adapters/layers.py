"""A network whose layers take adapters, adapters for it, and what eager gives with one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Pairs = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


class Transposed(torch.nn.Module):
    """A linear layer whose weight is [in, out], as GPT-2 has it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(6, 4))
        self.bias = torch.nn.Parameter(torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x.reshape(-1, 6), self.weight).reshape(*x.shape[:-1], 4)


class Layers(torch.nn.Module):
    """Two linear layers that share a weight, one laid out the other way, and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.again = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8, bias=False)
        self.again.weight = self.up.weight
        self.down, self.turned = torch.nn.Linear(8, 6, bias=False), Transposed()
        self.conv = torch.nn.Conv1d(1, 4, 3, padding=1, stride=2)
        self.grouped = torch.nn.Conv1d(4, 4, 1, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.turned(torch.relu(self.down(self.again(torch.relu(self.up(x))))))
        return self.grouped(torch.relu(self.conv(y[:, None])))


def network(dtype: torch.dtype = torch.float32) -> Layers:
    torch.manual_seed(0)
    return Layers().eval().to(dtype)


def pairs(seed: int, rank: int = 2, *names: str, dtype: torch.dtype = torch.float32) -> Pairs:
    """Matrices for these layers, by default for all."""
    made = network()
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name in names or ("up", "again", "down", "turned", "conv", "grouped"):
        weight = getattr(made, name).weight
        if name == "turned":
            weight = weight.t()
        groups = 2 if name == "grouped" else 1
        ones = (1,) * (weight.dim() - 2)
        first = (rank, weight.shape[1] * groups, *weight.shape[2:])
        second = (weight.shape[0], rank // groups, *ones)
        one, two = (torch.randn(sizes, generator=generator).to(dtype) for sizes in (first, second))
        found[name] = one, two
    return found


def state_dict(given: Pairs, prefix: str = "base_model.model.") -> dict[str, torch.Tensor]:
    """With the names that PEFT gives."""
    names = ("lora_A", "lora_B")
    return {
        f"{prefix}{layer}.{name}.weight": tensor
        for layer, two in given.items()
        for name, tensor in zip(names, two, strict=True)
    }


def saved(given: Pairs, folder: Path, **settings: Any) -> Path:
    """A folder as PEFT writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state_dict(given), folder / "adapter_model.safetensors")
    rank = next(iter(given.values()))[0].shape[0]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def eager(made: torch.nn.Module, given: Pairs, scale: float, x: torch.Tensor = X) -> torch.Tensor:
    """The formula of adapters, by hooks on eager's layers."""

    def adds(name: str, layer: Any) -> Any:
        first, second = given[name]

        def hook(module: Any, args: tuple[torch.Tensor], result: torch.Tensor) -> torch.Tensor:
            (value,) = args
            value = value.to(first.dtype)
            if isinstance(layer, torch.nn.Conv1d):
                small = torch.nn.functional.conv1d(value, first, None, layer.stride, layer.padding)
                more = torch.nn.functional.conv1d(small, second, groups=layer.groups)
            else:
                more = torch.nn.functional.linear(torch.nn.functional.linear(value, first), second)
            return (result + more * scale).to(result.dtype)

        return layer.register_forward_hook(hook)

    hooks = [adds(name, made.get_submodule(name)) for name in given]
    try:
        with torch.no_grad():
            return made(x)
    finally:
        for hook in hooks:
            hook.remove()
