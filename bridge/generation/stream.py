"""Token after token: a loop around a conversation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import torch

from bridge.errors import UsageError
from bridge.generation.sampling import GREEDY, Sampling

# Gives other logits [batch, vocabulary], of the tokens so far, int64 [batch, n], and the logits.
LogitsProcessor = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Reads(Protocol):
    """A conversation: it reads tokens and gives the logits after the last."""

    def read(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...


def stream(
    conversation: Reads,
    prompt: torch.Tensor,
    max_new_tokens: int,
    *,
    mask: torch.Tensor | None = None,
    sampling: Sampling = GREEDY,
    stop: Collection[int] = (),
    pad: int = 0,
    processor: LogitsProcessor | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the tokens of an answer, int64 [batch], as soon as they are chosen.

    `prompt`: int64 [batch, n]. `mask`: of the prompt, 0 for padding before a row's first token. A row ends
    with a token of `stop`; `pad` stands behind it. The stream ends with `max_new_tokens`, or where all rows
    have. The conversation has read all but the last tokens then, and goes on with the next prompt.
    `processor`: as those of transformers.

    Raises UsageError as `Conversation.read` does.
    """
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens is {max_new_tokens}, and is 1 or more")
    ends = torch.tensor(sorted(stop), dtype=torch.int64)
    running = torch.ones(prompt.shape[0], dtype=torch.bool)
    tokens, logits = prompt, conversation.read(prompt, mask)
    for place in range(max_new_tokens):
        if processor is not None:
            logits = processor(tokens, logits)
        chosen = torch.where(running, sampling.choose(logits), pad)
        yield chosen
        running &= ~torch.isin(chosen, ends)
        if not bool(running.any()) or place + 1 == max_new_tokens:
            return
        if processor is not None:
            tokens = torch.cat([tokens, chosen[:, None]], 1)
        logits = conversation.read(chosen[:, None])


def generate(
    conversation: Reads,
    prompt: torch.Tensor,
    max_new_tokens: int,
    *,
    mask: torch.Tensor | None = None,
    sampling: Sampling = GREEDY,
    stop: Collection[int] = (),
    pad: int = 0,
    processor: LogitsProcessor | None = None,
) -> torch.Tensor:
    """The prompt and the answer, int64 [batch, n + m]; see `stream`."""
    answer = stream(
        conversation, prompt, max_new_tokens,
        mask=mask, sampling=sampling, stop=stop, pad=pad, processor=processor,
    )  # fmt: skip
    return torch.cat([prompt, torch.stack(list(answer), 1)], 1)
