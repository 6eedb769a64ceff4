"""Models with convolutions and matmuls of each kind."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import bridge


class Vision(nn.Module):
    """Convolutions of each kind with what comes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, (3, 5), padding=(2, 2), dilation=(2, 1), groups=8)
        self.grouped = nn.Conv2d(8, 16, 3, groups=4, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)
        self.point = nn.Conv2d(8, 4, 1, stride=2)
        for tensor in (self.norm.running_mean, self.norm.running_var):
            assert tensor is not None
            tensor.add_(torch.rand(8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.norm(self.stem(x)).relu()
        y = y + self.depthwise(y) * torch.sigmoid(y.mean((2, 3), keepdim=True))
        wide = torch.cat([y, nn.functional.max_pool2d(y, 3, 1, 1)], 1)
        y = nn.functional.pad(self.up(self.grouped(y)), (1, 0, 0, 1), value=2.0)
        y = nn.functional.avg_pool2d(y, 2)
        return wide, self.point(y), y.mean((2, 3)), y.amax(1), torch.softmax(y, 1), y.permute(0, 2, 3, 1)


class Sound(nn.Module):
    """One and three dimensions, a bias before the norm, channels first all through."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(6)
        self.three = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.norm(self.one(x))
        return y, self.three(y.reshape(1, 1, 3, 4, 8)).clamp(-1, 1).sum(2)


class Products(nn.Module):
    """Layers on one row and on many; weights that are transposed, cut and cast by the program."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 48, dtype=dtype)
        self.table = nn.Parameter(torch.randn(16, 16).to(dtype))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v = self.inner(x).chunk(3, -1)
        scaled = (self.table.float() * 2).to(x.dtype)
        return torch.relu(q) + k * v, x[:1] @ scaled.T, x @ (scaled + self.table)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "vision": (Vision, lambda: torch.randn(2, 3, 16, 16)),
    "sound": (Sound, lambda: torch.randn(2, 4, 8)),
    "products": (lambda: Products(torch.float32), lambda: torch.randn(5, 16)),
    "one row": (lambda: Products(torch.float32), lambda: torch.randn(1, 16)),
    "halves": (lambda: Products(torch.bfloat16), lambda: torch.randn(5, 16).bfloat16()),
    "one row of halves": (lambda: Products(torch.bfloat16), lambda: torch.randn(1, 16).bfloat16()),
}


def lowered(name: str) -> tuple[bridge.Lowered, torch.Tensor]:
    """A model of `CASES` as one module, and what it is called with."""
    build, example = CASES[name]
    torch.manual_seed(0)
    model, x = build().eval(), example()
    return bridge.lower(model, (x,)), x
