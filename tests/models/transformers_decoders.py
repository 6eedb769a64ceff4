"""Decoders of transformers as its users export them: by its wrappers, and with caches passed in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from transformers.integrations import executorch

from tests.models.model import Call, seeded, tokens

VOCABULARY, LENGTH, STEPS = 99, 32, 16

_SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 64, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
}  # fmt: skip
_WORDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def _llama() -> Any:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**_SIZES))


def _qwen3() -> Any:
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**_SIZES, head_dim=8))


def _gemma3() -> Any:
    """One layer attends to the last 6 tokens, the other to all."""
    layers = ["sliding_attention", "full_attention"]
    config = hf.Gemma3TextConfig(**_SIZES, head_dim=8, sliding_window=6, layer_types=layers)
    return hf.Gemma3ForCausalLM(config)


def _gpt2() -> Any:
    config = hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=VOCABULARY, n_positions=64, **_WORDS)
    return hf.GPT2LMHeadModel(config)


def _t5() -> Any:
    sizes: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    config = hf.T5Config(vocab_size=VOCABULARY, **sizes)
    return hf.T5ForConditionalGeneration(config)


def _whisper() -> Any:
    config = hf.WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=8, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_source_positions=10, max_target_positions=64, decoder_start_token_id=1, **_WORDS,
    )  # fmt: skip
    model = hf.WhisperForConditionalGeneration(config)
    # The wrappers look for the head under this name.
    model.lm_head = model.proj_out
    return model


CAUSAL = {"llama": _llama, "qwen3": _qwen3, "gemma3": _gemma3, "gpt2": _gpt2}
ENCODED = {"t5": _t5, "whisper": _whisper}


def model_of(family: str) -> Any:
    """A seeded model whose generation config asks for a static cache of `LENGTH` places."""
    model: Any = seeded((CAUSAL | ENCODED)[family]).requires_grad_(False)
    config = model.generation_config
    config.use_cache, config.cache_implementation = True, "static"
    config.cache_config = {"batch_size": 1, "max_cache_len": LENGTH}
    return model


@dataclass(frozen=True)
class Decoder:
    """A decoder and the calls of a conversation.

    `first`: the call that it is exported with. `next_call`: gives the call of a step, from its number and the
    results of the one before. `cached`: whether the caches lie in buffers.
    """

    export: Callable[[], ExportedProgram]
    first: Callable[[], Call]
    next_call: Callable[[int, Any], Call]
    cached: bool

    def calls(self, call: Callable[..., Any], steps: int = STEPS) -> Iterator[Any]:
        """The results of a conversation with this program, call after call."""
        args, kwargs = self.first()
        result = call(*args, **kwargs)
        yield result
        for step in range(steps):
            args, kwargs = self.next_call(step, result)
            result = call(*args, **kwargs)
            yield result


_WORDS_GIVEN = tokens(VOCABULARY, LENGTH)


def _words(start: int, length: int) -> torch.Tensor:
    return _WORDS_GIVEN[:, start : start + length].clone()


# ------------------------------------------------------------------------------------ caches in buffers


def _positions(start: int, length: int) -> dict[str, torch.Tensor]:
    return {"input_ids": _words(start, length), "cache_position": torch.arange(start, start + length)}


def static(family: str, prefill: int = 1, whole: bool = True) -> Decoder:
    """By `TorchExportableModuleForDecoderOnlyLM`, or `convert_and_export_with_cache` if not `whole`.

    `prefill`: how many tokens the first call has; beyond 1 the sizes are dynamic.
    """

    def export() -> ExportedProgram:
        given, model = _positions(0, prefill), model_of(family)
        size = Dim("length", max=LENGTH - 1)
        sizes = {"input_ids": {1: size}, "cache_position": {0: size}} if prefill > 1 else None
        if not whole:
            return executorch.convert_and_export_with_cache(
                model, given["input_ids"], given["cache_position"], sizes, strict=False
            )
        wrapper = executorch.TorchExportableModuleForDecoderOnlyLM(model)
        return wrapper.export(**given, dynamic_shapes=sizes, strict=False)

    return Decoder(
        export,
        lambda: ((), _positions(0, prefill)),
        lambda step, _: ((), _positions(prefill + step, 1)),
        cached=True,
    )


def _heard() -> torch.Tensor:
    """What an encoder gives: [1, 10, 32]."""
    return torch.randn(1, 10, 32, generator=torch.Generator().manual_seed(2))


def encoded(family: str) -> Decoder:
    """The decoder of `Seq2SeqLMExportableModule`, with attention to what the encoder gave."""

    def call(step: int) -> Call:
        return (_words(step, 1), _heard(), torch.tensor([step])), {}

    def export() -> ExportedProgram:
        wrapper = executorch.Seq2SeqLMExportableModule(
            model_of(family), max_hidden_seq_length=20, max_cache_length=LENGTH
        )
        return wrapper._export_decoder(*call(0)[0])

    return Decoder(export, lambda: call(0), lambda step, _: call(step + 1), cached=True)


# --------------------------------------------------------------------------------- caches in and out


def _filled(model: Any, length: int) -> Any:
    cache = hf.DynamicCache(config=model.config.get_text_config())
    model(input_ids=_words(0, length), past_key_values=cache, use_cache=True)
    return cache


def _moved(tree: Any) -> Any:
    """The same structure with tensors of its own."""
    leaves, spec = tree_flatten(tree)
    return tree_unflatten([leaf.clone() for leaf in leaves], spec)


def grown(family: str, start: int = 4) -> Decoder:
    """The model itself, which takes a `DynamicCache` of any length and gives a longer one.

    `start`: its first length. Export knows a layer with a window before or after the window is full.
    """
    executorch.register_dynamic_cache_export_support()
    with torch.no_grad():
        model = model_of(family)
        past = _filled(model, start)

    def call(step: int, past: Any) -> Call:
        given = {"input_ids": _words(start + step, 1), "past_key_values": past, "use_cache": True}
        return (), given

    def export() -> ExportedProgram:
        # Keys and values are two lists, as the cache is registered.
        sizes = [[{2: Dim.AUTO}] * len(past.layers)] * 2
        shapes = {"input_ids": None, "past_key_values": sizes, "use_cache": None}
        return torch.export.export(model, (), call(0, _moved(past))[1], dynamic_shapes=shapes, strict=False)

    return Decoder(
        export,
        lambda: call(0, _moved(past)),
        lambda step, result: call(step + 1, result.past_key_values),
        cached=False,
    )


class Tuples(torch.nn.Module):
    """A causal model whose cache is a tuple of keys and values per layer."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, past: Any) -> Any:
        cache = hf.DynamicCache(past)
        result = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        return result.logits, _pairs(cache)


class EncodedTuples(torch.nn.Module):
    """A decoder beside an encoder: tuples of what it said itself, and of what it heard, which stays."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, decoder_input_ids: torch.Tensor, heard: torch.Tensor, past: Any) -> Any:
        own, crossed = (hf.DynamicCache(pairs) for pairs in past)
        result = self.model(
            decoder_input_ids=decoder_input_ids,
            encoder_outputs=(heard,),
            past_key_values=hf.EncoderDecoderCache(own, crossed),
            use_cache=True,
        )
        return result.logits, (_pairs(own), _pairs(crossed))


def _pairs(cache: hf.DynamicCache) -> Any:
    """The keys and values of each layer."""
    layers: Any = cache.layers
    return tuple((layer.keys, layer.values) for layer in layers)


def tuples(family: str, start: int = 4) -> Decoder:
    """Keys and values as tuples of tensors of any length."""
    model = model_of(family)
    with torch.no_grad():
        past = _pairs(_filled(model, start))
    return _by_tuples(Tuples(model), past, lambda step, past: ((_words(start + step, 1), past), {}), (None,))


def encoded_tuples(family: str, start: int = 3) -> Decoder:
    """The same of a decoder beside an encoder."""
    model = model_of(family)
    caches = [hf.DynamicCache(config=model.config) for _ in range(2)]
    with torch.no_grad():
        model(
            decoder_input_ids=_words(0, start),
            encoder_outputs=(_heard(),),
            past_key_values=hf.EncoderDecoderCache(*caches),
            use_cache=True,
        )
    past = tuple(map(_pairs, caches))
    return _by_tuples(
        EncodedTuples(model),
        past,
        lambda step, past: ((_words(start + step, 1), _heard(), past), {}),
        (None, None),
    )


def _by_tuples(
    module: torch.nn.Module, past: Any, call: Callable[[int, Any], Call], others: tuple[None, ...]
) -> Decoder:
    def export() -> ExportedProgram:
        sizes = tree_map(lambda _: {2: Dim.AUTO}, past)
        args, _ = call(0, _moved(past))
        return torch.export.export(module, args, dynamic_shapes=(*others, sizes), strict=False)

    return Decoder(
        export,
        lambda: call(0, _moved(past)),
        lambda step, result: call(step + 1, result[1]),
        cached=False,
    )


DECODERS: dict[str, Callable[[], Decoder]] = {
    **{f"{family}-static": lambda family=family: static(family) for family in CAUSAL},
    **{f"{family}-prefill": lambda family=family: static(family, 5) for family in CAUSAL},
    "llama-converted": lambda: static("llama", whole=False),
    **{f"{family}-encoded": lambda family=family: encoded(family) for family in ENCODED},
    **{f"{family}-grown": lambda family=family: grown(family) for family in CAUSAL},
    "gemma3-grown": lambda: grown("gemma3", 9),
    **{f"{family}-tuples": lambda family=family: tuples(family) for family in CAUSAL},
    **{f"{family}-tuples": lambda family=family: encoded_tuples(family) for family in ENCODED},
}
