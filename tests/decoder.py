"""A small decoder whose cache is in buffers: a prompt of several tokens at once, then token by token."""

from __future__ import annotations

import torch
from torch import nn

VOCABULARY, WIDTH, HEADS, LENGTH, LAYERS = 50, 32, 4, 96, 2
PROMPT = 8


class Attention(nn.Module):
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, HEADS, LENGTH, WIDTH // HEADS))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        rows = x.shape[1]
        q, k, v = self.qkv(x).view(1, rows, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        self.keys.index_copy_(2, position, k)
        self.values.index_copy_(2, position, v)
        mask = torch.arange(LENGTH)[None, :] <= position[:, None]
        out = nn.functional.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=mask)
        return self.out(out.transpose(1, 2).reshape(1, rows, WIDTH))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = Attention(), nn.RMSNorm(WIDTH)
        self.mlp = nn.Sequential(nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 64), nn.SiLU(), nn.Linear(64, WIDTH))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm(x), position)
        return x + self.mlp(x)


class Decoder(nn.Module):
    """`tokens` `[1, N]` at `position` `[N]`, both int64, to the logits of the last `[1, VOCABULARY]`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, position)
        return self.head(x[:, -1])


def decoder(seed: int = 0) -> Decoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder().eval()


def step(token: int, position: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The arguments of one token's call."""
    return torch.tensor([[token]]), torch.tensor([position])


def prompt(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The arguments of a prompt's call."""
    drawn = torch.randint(VOCABULARY, (1, PROMPT), generator=torch.Generator().manual_seed(seed))
    return drawn, torch.arange(PROMPT)


def exported(module: nn.Module, rows: int = 1) -> torch.export.ExportedProgram:
    """The program for so many tokens at a time."""
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(1, rows, dtype=torch.int64), torch.arange(rows)))
