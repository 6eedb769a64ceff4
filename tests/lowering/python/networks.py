"""Small networks, one for each thing that source has to say."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = namedtuple("Pair", "left right")


class Block(nn.Module):
    """An attention block; `width` and `hidden` differ between blocks of one network."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.scale = scale

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.norm(x)
        y = F.scaled_dot_product_attention(self.query(y), y, y, attn_mask=mask)
        return x + self.out(F.gelu(self.hidden(y))) * self.scale


class Stack(nn.Module):
    """Blocks in a loop, the mask the same for all."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(8, 8 * (1 + i), 0.5 + i) for i in range(3))
        self.head = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Dropout(0.1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)


class Nested(nn.Module):
    """Containers of Python's in and out."""

    def forward(self, pair: tuple[Tensor, list[Tensor]], *, named: dict[str, Tensor]) -> Any:
        a, (b, c) = pair
        return OrderedDict(sum=a + b, more=[(c * named["k"],), None, 3, "text"], same={"a": a, 1: b})


class Fields(nn.Module):
    """A namedtuple out."""

    def forward(self, x: Tensor) -> Pair:
        return Pair(x + 1, (x, x * 2))


class Writes(nn.Module):
    """Writes to a buffer and to an input, and a constant and a buffer that a state dict lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))
        self.register_buffer("factor", torch.full((3,), 2.0), persistent=False)
        self.offset = torch.arange(3.0)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.total.add_(x)
        x.mul_(self.factor)
        return {"sum": self.total + self.offset, "constant": x + torch.tensor([1.0, 2.0, 3.0])}


class Counts(nn.Module):
    """Writes to a buffer, and reads what it was."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        before = self.total * 2
        self.total.add_(x)
        return self.total * before


class Shared(nn.Module):
    """A layer called twice, a list whose items are called out of order, a weight of another module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.parts = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Tanh()])
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(torch.sin(self.layer(x)))
        x = self.parts[2](self.parts[1](x)) + self.parts[0](x)
        return self.frozen(F.linear(x, self.layer.weight))


class Twice(nn.Module):
    """A module whose calls are not the same."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor, times: int) -> Tensor:
            for _ in range(times):
                x = self.layer(x)
            return x

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.Inner()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.inner(x, 1), 2)


class Modes(nn.Module):
    """Regions without gradients and of autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.amax() + 1
        with torch.autocast("cpu", torch.bfloat16):
            y = self.layer(x)
        return y * scale


class Names(nn.Module):
    """Names that are not identifiers, or keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("a-b", nn.Linear(4, 4))
        self.add_module(
            "class", nn.ParameterDict({"for": torch.ones(4), "__own": torch.ones(4), "ü": torch.ones(4)})
        )
        self.register_buffer("1 2", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        own = self._modules["class"]
        return self._modules["a-b"](x) * own["for"] + own["__own"] + own["ü"] + self._buffers["1 2"]  # pyright: ignore


class Kinds(nn.Module):
    """Weights of several dtypes, strides and sizes, and layers of another dtype than float32."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Parameter(torch.ones(3, 4).t())
        self.narrow = nn.Linear(3, 3, dtype=torch.bfloat16)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("part", torch.ones(5)[2:])
        self.table = nn.Parameter(torch.ones(3, 3, dtype=torch.int8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x @ self.turned) * self.count + self.part
        return self.narrow(x.to(torch.bfloat16)) @ self.table.to(torch.bfloat16)


class Random(nn.Module):
    """Random numbers, and layers that are in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(x)) + torch.randn(2, 4) + torch.rand_like(x)


class Sizes(nn.Module):
    """Computation with sizes."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, int]:
        n, m = x.shape[0], x.shape[1]
        z = x.reshape(n * m) * (m + 1)
        return z.view(m, n)[:, : n // 2], torch.arange(n) + y.sum() / n, n + m


class Recurrent(nn.Module):
    """Recurrent layers from zeros, one of them with the last state, one from a state that is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 3, bias=False)
        self.given = nn.GRU(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, (_, cell) = self.lstm(x)
        y, _ = self.gru(x)
        return self.given(y, y[-1:])[0], cell
