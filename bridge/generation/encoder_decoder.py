"""An encoder-decoder of transformers as two modules over the same caches."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bridge.generation.caches import Caches, empty_cache
from bridge.generation.packages import cache_classes


class EncoderDecoder(nn.Module):
    """The part that both steps share: the model, the decoder's caches, and those of the source.

    `batch`: the rows. `length`: the most tokens of an answer. `source`: an example of the encoder's input,
    int64 [batch, n] or a floating-point tensor of features. `source_length`: the most positions that the
    encoder gives.
    """

    def __init__(self, model: Any, batch: int, length: int, source: torch.Tensor, source_length: int) -> None:
        super().__init__()
        self.model = model
        self.source_length = source_length
        token = torch.zeros(batch, 1, dtype=torch.int64, device=model.device)
        with torch.no_grad():
            encoded = model.get_encoder()(source)[0]
        self.width = encoded.shape[-1]

        def run(own: Any, crossed: Any) -> None:
            both = cache_classes().EncoderDecoderCache(own, crossed)
            model.get_decoder()(
                input_ids=token, encoder_hidden_states=encoded, past_key_values=both, use_cache=True
            )

        self.caches = Caches(length, lambda cache: run(cache, empty_cache(source_length)))
        self.source_caches = Caches(source_length, lambda cache: run(empty_cache(length), cache))

    def decoded(
        self,
        tokens: torch.Tensor,
        start: torch.Tensor,
        encoded: torch.Tensor,
        source_mask: torch.Tensor | None,
        is_new: bool,
    ) -> torch.Tensor:
        """The logits of every token. `is_new`: whether the source's keys and values are computed."""
        # Its constructor would read the lengths, which are data of the call.
        both = cache_classes().EncoderDecoderCache(empty_cache(0), empty_cache(0))
        both.self_attention_cache = self.caches.at(start)
        both.cross_attention_cache = self.source_caches.at(torch.zeros_like(start))
        both.is_updated = dict.fromkeys(range(len(both.cross_attention_cache)), not is_new)
        given = {} if source_mask is None else {"encoder_attention_mask": source_mask}
        hidden = self.model.get_decoder()(
            input_ids=tokens, encoder_hidden_states=encoded, past_key_values=both, use_cache=True, **given
        )[0]
        if getattr(self.model.config, "scale_decoder_outputs", False):
            hidden = hidden * self.model.model_dim**-0.5
        return self.model.get_output_embeddings()(hidden)


class Prefill(nn.Module):
    """Reads a source, and the first tokens of the answer."""

    def __init__(self, shared: EncoderDecoder) -> None:
        super().__init__()
        self.shared = shared

    def forward(
        self, source: torch.Tensor, tokens: torch.Tensor, source_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The logits [batch, vocabulary] after the last of `tokens`, int64 [batch, n].

        `source_mask`: bool [batch, source_length], False at padding; None for a model that takes features.
        """
        encoder = self.shared.model.get_encoder()
        if source_mask is None:
            encoded = encoder(source)[0]
        else:
            # Slices and pads of a length that may be the whole ask whether it is.
            places = torch.arange(source.shape[1], device=source.device)
            encoded = encoder(source, attention_mask=source_mask.index_select(1, places))[0]
            whole = encoded.new_zeros(encoded.shape[0], self.shared.source_length, encoded.shape[2])
            encoded = whole.index_copy(1, places, encoded)
        start = torch.zeros(1, dtype=torch.int64, device=tokens.device)
        return self.shared.decoded(tokens, start, encoded, source_mask, is_new=True)[:, -1]


class Decode(nn.Module):
    """Writes a token of the answer."""

    def __init__(self, shared: EncoderDecoder) -> None:
        super().__init__()
        self.shared = shared

    def forward(
        self, tokens: torch.Tensor, start: torch.Tensor, source_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The logits [batch, vocabulary] after `tokens`, int64 [batch, 1], at `start`, int64 [1]."""
        shared = self.shared
        # Only its sizes are looked at: the caches hold what the decoder reads of the source.
        encoded = torch.zeros(
            tokens.shape[0],
            shared.source_length,
            shared.width,
            dtype=shared.model.dtype,
            device=tokens.device,
        )
        return shared.decoded(tokens, start, encoded, source_mask, is_new=False)[:, -1]
