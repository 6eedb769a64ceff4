"""The choice of the next token: the likeliest, or drawn by torch's generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bridge.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. A temperature of 0, the default, takes the likeliest token, the first of equals.

    `temperature`: divides the logits. `top_k`: only so many of the likeliest tokens are drawn from; None for
    all. `top_p`: of these the fewest whose probabilities sum to at least that much. `generator`: torch's;
    None for the global one of the CPU. The three restrict in this order, as in transformers.

    Raises UsageError for values out of range.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature is {self.temperature}, and is a finite number of 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k is {self.top_k}, and is 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}, and is above 0 and at most 1")

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Token ids, int64 [batch], for logits [batch, vocabulary] of a floating-point dtype."""
        if self.temperature == 0:
            return logits.argmax(-1)
        probabilities = self.restricted(logits).softmax(-1)
        return torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]

    def restricted(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits that are drawn from, float32 [batch, vocabulary]; minus infinity for tokens left out."""
        scores = logits.float() / self.temperature
        if self.top_k is not None:
            least = scores.topk(min(self.top_k, scores.shape[-1])).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            # From the unlikeliest on: what sums to at most the rest is left out; the likeliest never is.
            ordered, order = scores.sort(dim=-1)
            left_out = ordered.softmax(-1).cumsum(-1) <= 1 - self.top_p
            left_out[:, -1] = False
            scores = scores.masked_fill(torch.zeros_like(left_out).scatter(1, order, left_out), -torch.inf)
        return scores


GREEDY = Sampling()
