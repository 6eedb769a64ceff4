"""A causal language model of transformers as a module of one step, its caches in buffers."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from bridge.generation.caches import Caches


class DecoderOnly(nn.Module):
    """One step of a causal language model: some tokens in, the logits after one of them out.

    `batch`: the rows. `length`: the most positions that a row may have, prompt and answer.
    """

    def __init__(self, model: Any, batch: int, length: int) -> None:
        super().__init__()
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self._takes = {name for name in ("position_ids", "logits_to_keep") if name in accepted}
        token = torch.zeros(batch, 1, dtype=torch.int64, device=model.device)
        self.caches = Caches(
            length,
            lambda cache: model(input_ids=token, past_key_values=cache, use_cache=True),
        )

    def forward(
        self, tokens: torch.Tensor, start: torch.Tensor, mask: torch.Tensor, last: torch.Tensor
    ) -> torch.Tensor:
        """Write the tokens at `start` and after; return the logits [batch, vocabulary].

        `tokens`: int64 [batch, n]. `start`: int64 [1]. `mask`: bool [batch, length], False at the positions
        of padding before a row's first token. `last`: int64 [1], the place among `tokens` whose logits are
        returned. Tokens behind it are padding: the next step overwrites them.
        """
        given: dict[str, Any] = {}
        if "position_ids" in self._takes:
            places = start + torch.arange(tokens.shape[1], device=tokens.device)
            given["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0).index_select(1, places)
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = last
        logits = self.model(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=self.caches.at(start),
            use_cache=True,
            **given,
        ).logits
        return logits[:, 0] if "logits_to_keep" in self._takes else logits.index_select(1, last)[:, 0]
