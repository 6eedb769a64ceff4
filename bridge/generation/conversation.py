"""Conversations: which positions of a decoder's caches are written, and the logits after the last."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from bridge.errors import UsageError
from bridge.generation.buckets import bucket_of


class Decoder(Protocol):
    """The methods of a decoder over one state: a session, or what `compile` returns."""

    @property
    def prefill(self) -> Any: ...

    @property
    def decode(self) -> Any: ...


class Conversation:
    """A conversation with a decoder of `decoder_programs`: its rows, and the position that comes next.

    `decoder`: a session, or the compiled methods. `batch`, `length`: as it was exported. Conversations side
    by side need a session each.
    """

    def __init__(self, decoder: Decoder, batch: int, length: int) -> None:
        self._decoder = decoder
        self.batch, self.length = batch, length
        self.position = 0
        self._mask = torch.ones(batch, length, dtype=torch.bool)

    def read(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Write tokens behind those that are there; return the logits [batch, vocabulary] after the last.

        `tokens`: int64 [batch, n], n at least 1. `mask`: bool or int64 [batch, n], 0 for padding, which
        stands before a row's first token. Raises UsageError for tokens that do not fit.
        """
        start, count = self.position, _count(tokens, self.batch)
        _check_room(start, count, self.length)
        if mask is not None:
            _check_mask(mask, tokens, start)
        self._mask[:, start:] = True
        if mask is not None:
            self._mask[:, start : start + count] = mask.to(torch.bool)
        at = torch.tensor([start])
        if count == 1:
            logits = self._decoder.decode(tokens, at, self._mask, torch.tensor([0]))
        else:
            # The tokens behind are overwritten by the next ones, and nothing reads them until then.
            width = max(count, min(bucket_of(count), self.length - start))
            padded = torch.nn.functional.pad(tokens, (0, width - count))
            logits = self._decoder.prefill(padded, at, self._mask, torch.tensor([count - 1]))
        self.position = start + count
        return logits

    def roll_back(self, position: int) -> None:
        """Go back to a position: the next tokens overwrite what was written there and after.

        Raises UsageError for a position that was not reached.
        """
        if not 0 <= position <= self.position:
            raise UsageError(f"position {position} was not reached: the conversation is at {self.position}")
        self.position = position


class SourceConversation:
    """An answer to a source, by a decoder of `encoder_decoder_programs`.

    `source`, `source_mask`: the encoder's input, and bool [batch, n] with False for padding; None where all
    of it counts. `length`, `source_length`: as it was exported. `decoder`: as of `Conversation`.
    """

    def __init__(
        self,
        decoder: Decoder,
        source: torch.Tensor,
        source_mask: torch.Tensor | None = None,
        *,
        length: int,
        source_length: int,
    ) -> None:
        self._decoder = decoder
        self.length = length
        self.position = 0
        self._source = source
        self._masks: tuple[torch.Tensor, ...] = ()
        if not source.dtype.is_floating_point:
            count = _count(source, source.shape[0])
            _check_room(0, count, source_length)
            whole = torch.zeros(source.shape[0], source_length, dtype=torch.bool)
            whole[:, :count] = True if source_mask is None else source_mask.to(torch.bool)
            self._masks = (whole,)

    def read(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Write tokens of the answer; return the logits [batch, vocabulary] after the last.

        `tokens`: int64 [batch, n], n at least 1. Raises UsageError for tokens that do not fit.
        """
        count = _count(tokens, self._source.shape[0])
        _check_room(self.position, count, self.length)
        if mask is not None and not bool(mask.all()):
            raise UsageError("the mask has padding; an answer to a source has none")
        logits = torch.empty(0)
        for token in tokens.split(1, 1):
            if self.position:
                logits = self._decoder.decode(token, torch.tensor([self.position]), *self._masks)
            else:
                logits = self._decoder.prefill(self._source, token, *self._masks)
            self.position += 1
        return logits


def _count(tokens: torch.Tensor, batch: int) -> int:
    if tokens.dtype is not torch.int64 or tokens.dim() != 2 or tokens.shape[0] != batch:
        raise UsageError(f"tokens are {tokens.dtype} {list(tokens.shape)}, and must be int64 [{batch}, n]")
    if not tokens.shape[1]:
        raise UsageError("there are no tokens to read")
    return tokens.shape[1]


def _check_room(position: int, count: int, length: int) -> None:
    if position + count > length:
        raise UsageError(
            f"{count} tokens behind {position} are more than the {length} positions of the caches: "
            "export with a greater length"
        )


def _check_mask(mask: torch.Tensor, tokens: torch.Tensor, position: int) -> None:
    kept = mask.to(torch.bool)
    if mask.shape != tokens.shape:
        raise UsageError(f"the mask has sizes {list(mask.shape)}, and the tokens {list(tokens.shape)}")
    if bool((kept[:, 1:] < kept[:, :-1]).any()):
        raise UsageError("the mask has padding behind a token: padding stands before a row's first token")
    if not bool(kept.any(1).all()):
        raise UsageError("the mask has a row without a token")
    if position and not bool(kept.all()):
        raise UsageError("the mask has padding, and the rows' first tokens were read before")
