"""The table of models: real architectures with seeded random weights, in two sizes and any batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import transformers as hf

from benchmarks.architectures import Chain, Experts, MobileNetV3, Recurrent, UNetBlock, mlp
from tests.models.model import Call, Model, image, seeded, tokens
from tests.models.registry import models

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Case(NamedTuple):
    """A row. `build(small, batch, dtype)`: the model with the calls that it is checked on."""

    title: str
    sizes: str
    build: Callable[[bool, int, torch.dtype], Model]


def _from_zoo(name: str, small: bool, batch: int, dtype: torch.dtype) -> Model:
    """A model of the tests' zoo."""
    model = models()[name].build(small)
    return _fitted(model.module, model.calls[:1], batch, dtype)


def _own(
    build: Callable[[bool], torch.nn.Module],
    example: Callable[[bool], torch.Tensor],
    small: bool,
    batch: int,
    dtype: torch.dtype,
) -> Model:
    """A module, called with one tensor [1, ...]."""
    return _fitted(seeded(lambda: build(small)), (((example(small),), {}),), batch, dtype)


def _fitted(module: torch.nn.Module, calls: tuple[Call, ...], batch: int, dtype: torch.dtype) -> Model:
    """The model in a dtype, its calls [1, ...] in that dtype and [batch, ...]."""

    def fit(x: torch.Tensor) -> torch.Tensor:
        rows = torch.cat([x.roll(row, -1) for row in range(batch)])
        return rows.to(dtype) if rows.is_floating_point() else rows

    fitted = tuple(
        (tuple(fit(x) for x in args), {name: fit(x) for name, x in kwargs.items()}) for args, kwargs in calls
    )
    return Model(module.to(dtype), fitted)


class _Decoder(Model):
    """Exported strictly, as transformers does: otherwise caches are constants too, which alias the buffers.

    Bridge takes such a program; torch cannot decompose it, and so no other side can build it.
    """

    def export(self) -> torch.export.ExportedProgram:
        args, kwargs = self.calls[0]
        return torch.export.export(self.module, args, kwargs, strict=True)


def _decoder(build: Callable[[bool], torch.nn.Module], small: bool, batch: int, dtype: torch.dtype) -> Model:
    """One token, a cache in buffers, half full of seeded numbers; the second call reads the first's row."""
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    model: Any = build(small).to(dtype)
    length = 16 if small else 256
    model.generation_config.cache_implementation = "static"
    model.generation_config.use_cache = True
    step = TorchExportableModuleWithStaticCache(model, batch_size=batch, max_cache_len=length)
    generator = torch.Generator().manual_seed(2)
    for name, buffer in step.named_buffers():
        if "_cache_" in name:
            buffer[:, :, : length // 2] = torch.randn(buffer[:, :, : length // 2].shape, generator=generator)
    ids = tokens(model.config.vocab_size, 2 * batch).view(2, batch, 1)
    calls = tuple(
        ((), {"input_ids": ids[i], "cache_position": torch.tensor([length // 2 + i])}) for i in range(2)
    )
    return _Decoder(step.eval(), calls)


# torch declares what is found on a module as a tensor or a module; these are modules.
def _gpt2(small: bool) -> torch.nn.Module:
    return models()["gpt2"].build(small).module.module


def _llama(small: bool) -> torch.nn.Module:
    return models()["llama-decode"].build(small).module.model


def qwen2(small: bool) -> torch.nn.Module:
    """Qwen2-0.5B's sizes, with weights of its initialisation: 494 million, of which 136 embed the tokens."""
    sizes = {
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "intermediate_size": 4864,
    }
    toy = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    vocabulary = {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    config = hf.Qwen2Config(
        **(toy | vocabulary if small else sizes), num_key_value_heads=2, tie_word_embeddings=True
    )
    return seeded(lambda: hf.Qwen2ForCausalLM(config))


def _t5(small: bool, batch: int, dtype: torch.dtype) -> Model:
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 99}
    config = hf.T5Config(**(sizes if small else {}), use_cache=False)
    module = _Encoder(seeded(lambda: hf.T5EncoderModel(config)))
    return _fitted(module, (((tokens(config.vocab_size, 8 if small else 128),), {}),), batch, dtype)


class _Encoder(torch.nn.Module):
    """The last hidden state of an encoder."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.module(input_ids=input_ids)[0]


def _noise(*sizes: int) -> torch.Tensor:
    return torch.randn(1, *sizes, generator=torch.Generator().manual_seed(0))


CASES: dict[str, Case] = {
    "resnet50": Case("ResNet-50", "image 224x224", partial(_from_zoo, "resnet-50")),
    "mobilenetv3": Case(
        "MobileNetV3-Large",
        "image 224x224",
        partial(
            _own,
            lambda small: MobileNetV3(4, 10) if small else MobileNetV3(),
            lambda small: image(32 if small else 224),
        ),
    ),
    "convnext": Case("ConvNeXt-tiny", "image 224x224", partial(_from_zoo, "convnext-tiny")),
    "vit": Case("ViT-B/16", "image 224x224", partial(_from_zoo, "vit-b16")),
    "bert": Case("BERT-base", "128 tokens", partial(_from_zoo, "bert-base")),
    "gpt2": Case("GPT-2 124M, prefill", "128 tokens, all logits", partial(_from_zoo, "gpt2")),
    "gpt2-decode": Case("GPT-2 124M, decode", "token 129, cache of 256", partial(_decoder, _gpt2)),
    "llama-decode": Case("Llama 8 x 512, decode", "token 129, cache of 256", partial(_decoder, _llama)),
    "qwen2-decode": Case("Qwen2 0.5B, decode", "token 129, cache of 256", partial(_decoder, qwen2)),
    "t5": Case("T5-small, encoder", "128 tokens", _t5),
    "whisper": Case("Whisper-tiny, encoder", "3000 frames", partial(_from_zoo, "whisper-tiny-encoder")),
    "lstm": Case(
        "LSTM 2 x 256",
        "32 steps",
        partial(
            _own,
            lambda small: Recurrent(8) if small else Recurrent(),
            lambda small: _noise(4, 8) if small else _noise(32, 256),
        ),
    ),
    "mlp": Case(
        "MLP 512-2048-512",
        "32 rows",
        partial(
            _own,
            lambda small: mlp(16, 32) if small else mlp(),
            lambda small: _noise(4, 16) if small else _noise(32, 512),
        ),
    ),
    "chain": Case(
        "40 x (mul, add, tanh)",
        "64x64",
        partial(
            _own,
            lambda small: Chain(4) if small else Chain(),
            lambda small: _noise(8, 8) if small else _noise(64, 64),
        ),
    ),
    "experts": Case(
        "Experts, 2 of 8, 512-1024",
        "128 tokens, dense",
        partial(
            _own,
            lambda small: Experts(16, 32, 4) if small else Experts(),
            lambda small: _noise(6, 16) if small else _noise(128, 512),
        ),
    ),
    "unet": Case(
        "U-Net block, 320 channels",
        "32x32 to 64x64",
        partial(
            _own,
            lambda small: UNetBlock(32, 2, 4) if small else UNetBlock(),
            lambda small: _noise(32, 8, 8) if small else _noise(320, 32, 32),
        ),
    ),
}
