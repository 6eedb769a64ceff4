"""Programs with branches, loops, and sizes that the data gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.while_loop import while_loop

from tests.models.model import ids
from tests.models.registry import register_model


class EarlyExit(nn.Module):
    """A deep second half runs only where the first is not sure (Teerapittayanon et al., 2016)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.early, self.late = nn.Linear(width, classes), nn.Linear(width, classes)
        self.deep = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        scores = self.early(x)
        sure = scores.softmax(1).amax(1).min() > 0.9
        return torch.cond(sure, lambda x, s: s.clone(), lambda x, s: self.late(x + self.deep(x)), (x, scores))


@register_model(
    "early-exit",
    ((2, 12),),
    ("control-flow",),
    "Early exit: a branch for where scores are not sure",
)
def early_exit() -> nn.Module:
    return EarlyExit(12, 4)


class Sinkhorn(nn.Module):
    """Rows and columns of a matrix scaled to sums of one until they are, or twenty times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        start = (self.left(a) @ self.right(b).t()).exp()

        def goes_on(count: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
            return (count < 20) & ((m.sum(1) - 1).abs().max() > 1e-3)

        def step(count: torch.Tensor, m: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            m = m / m.sum(1, keepdim=True)
            return count + 1, m / m.sum(0, keepdim=True)

        return while_loop(goes_on, step, (torch.zeros((), dtype=torch.int64), start))


@register_model(
    "sinkhorn",
    ((5, 8), (5, 8)),
    ("control-flow", "multi-input-output"),
    "Sinkhorn: a loop until an assignment has settled",
)
def sinkhorn() -> nn.Module:
    return Sinkhorn(8)


class GreedyDecoder(nn.Module):
    """Words one after the other in a loop of the program: a GRU cell, and the best word fed back."""

    def __init__(self, words: int, width: int, longest: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.weight = nn.Linear(2 * width, width)
        self.scores = nn.Linear(width, words)
        self.longest = longest

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        written = torch.zeros(state.shape[0], self.longest, dtype=torch.int64)

        def goes_on(place: torch.Tensor, written: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            return place < self.longest

        def step(place: torch.Tensor, written: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
            before = written.index_select(1, (place - 1).clamp(min=0).view(1)).squeeze(1)
            state = torch.tanh(self.weight(torch.cat([self.words(before), state], 1)))
            word = self.scores(state).argmax(1)
            return place + 1, written.index_copy(1, place.view(1), word.unsqueeze(1)), state

        return while_loop(goes_on, step, (torch.zeros((), dtype=torch.int64), written, state))[1]


@register_model(
    "greedy-decoder", ((2, 8),), ("control-flow", "recurrent"), "Greedy decoding as a loop of the program"
)
def greedy_decoder() -> nn.Module:
    return GreedyDecoder(11, 8, 5)


class LinearScan(nn.Module):
    """A gated linear recurrence by an associative scan: minGRU's form (Feng et al., 2024)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.make = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = self.gate(x).sigmoid()

        def both(a: Any, b: Any) -> Any:
            return a[0] * b[0], a[1] * b[0] + b[1]

        return associative_scan(both, (1 - share, share * self.make(x)), dim=1, combine_mode="generic")[1]


@register_model(
    "min-gru", ((2, 8, 6),), ("control-flow", "recurrent", "state-space"), "minGRU: an associative scan"
)
def min_gru() -> nn.Module:
    return LinearScan(6)


class Sparse(nn.Module):
    """Only rows that a gate lets through are worked on: their number is in the data."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.work = nn.Linear(width, 1), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = (self.gate(x).squeeze(1) > 0).nonzero().squeeze(1)
        return x.index_add(0, chosen, torch.tanh(self.work(x[chosen])))


@register_model(
    "chosen-rows",
    ((9, 8),),
    ("control-flow", "dynamic"),
    "Conditional computation: rows chosen by the data",
    apart="the number of rows is in the data, so that a segment of its own finds them",
)
def chosen_rows() -> nn.Module:
    return Sparse(8)


class Routed(nn.Module):
    """A kind per call picks one of three networks: branches within branches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])

    def forward(self, kind: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        first, second, third = self.heads

        def rest(x: torch.Tensor) -> torch.Tensor:
            return torch.cond((kind == 1).all(), lambda x: second(x).relu(), lambda x: third(x).tanh(), (x,))

        return torch.cond((kind == 0).all(), lambda x: first(x).sigmoid(), rest, (x,))


@register_model(
    "routed",
    (ids(3, 1), (2, 6)),
    ("control-flow", "multi-input-output"),
    "One of three networks, by an input",
    calls=3,
)
def routed() -> nn.Module:
    return Routed(6)
