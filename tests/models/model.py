"""A model with its calls, and what makes one: seeded weights, seeded inputs, outputs as plain tuples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A model with the calls it is checked on; the first call's arguments are the example of its export.

    `dynamic_shapes`: as `torch.export.export` takes them; the calls may then have several sizes.
    """

    module: torch.nn.Module
    calls: tuple[Call, ...]
    dynamic_shapes: Any = None

    def export(self) -> torch.export.ExportedProgram:
        args, kwargs = self.calls[0]
        with torch.no_grad():
            return torch.export.export(
                self.module, args, kwargs, dynamic_shapes=self.dynamic_shapes, strict=False
            )


@dataclass(frozen=True)
class Input:
    """The sizes and dtype of a tensor that a model is given; integers lie below `below`."""

    sizes: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    below: int = 2

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """A tensor of seeded numbers: normal ones, integers from 0 on, or truth values."""
        if self.dtype.is_floating_point:
            return torch.randn(self.sizes, generator=generator, dtype=self.dtype)
        return torch.randint(0, self.below, self.sizes, generator=generator).to(self.dtype)

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')}{list(self.sizes)}"


def ids(below: int, *sizes: int) -> Input:
    """Token ids or indices, int64."""
    return Input(sizes, torch.int64, below)


def flags(*sizes: int) -> Input:
    """A mask of truth values."""
    return Input(sizes, torch.bool)


def tokens(vocabulary: int, length: int, seed: int = 0) -> torch.Tensor:
    """Seeded token ids, int64 [1, length]."""
    return torch.randint(0, vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))


def image(size: int) -> torch.Tensor:
    """A seeded picture, float32 [1, 3, size, size]."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def seeded(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Build in eval mode with seeded weights, none of them at a value that makes a check vacuous.

    Constant initialisations (zero heads, unit norms, running statistics of 0 and 1) get seeded noise.
    """
    torch.manual_seed(0)
    module = build().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if not tensor.is_floating_point() or tensor.numel() == 0 or "inv_freq" in name:
                continue
            noise = torch.rand(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + noise)
            elif float(tensor.max()) == float(tensor.min()):
                tensor.add_(0.1 * (noise - 0.5))
    return module


class Leaves(torch.nn.Module):
    """A model of transformers whose outputs are plain tuples: what many deployments export."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module
        # Export names the inputs by this signature.
        self.__signature__ = inspect.signature(module.forward)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs).to_tuple()


class Named(torch.nn.Module):
    """Some outputs of a model of transformers, by their names, as a tuple."""

    def __init__(self, module: torch.nn.Module, *outputs: str) -> None:
        super().__init__()
        self.module = module
        self.outputs = outputs
        self.__signature__ = inspect.signature(module.forward)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        result = self.module(*args, **kwargs)
        return tuple(getattr(result, name) for name in self.outputs)
