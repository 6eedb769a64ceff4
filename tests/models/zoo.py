"""Real architectures from transformers, seeded random weights, at small and at published sizes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A model with the calls it is checked on; the first call's arguments are the example of its export."""

    module: torch.nn.Module
    calls: tuple[Call, ...]

    def export(self) -> torch.export.ExportedProgram:
        args, kwargs = self.calls[0]
        with torch.no_grad():
            return torch.export.export(self.module, args, kwargs, strict=False)


def tokens(vocabulary: int, length: int, seed: int = 0) -> torch.Tensor:
    """Seeded token ids, int64 [1, length]."""
    return torch.randint(0, vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))


def image(size: int) -> torch.Tensor:
    """A seeded picture, float32 [1, 3, size, size]."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def seeded(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Build in eval mode with seeded weights, none of them at a value that makes a check vacuous.

    Constant initialisations (zero heads, unit norms, running statistics of 0 and 1) get seeded noise.
    """
    torch.manual_seed(0)
    module = build().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if not tensor.is_floating_point() or tensor.numel() == 0 or "inv_freq" in name:
                continue
            noise = torch.rand(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + noise)
            elif float(tensor.max()) == float(tensor.min()):
                tensor.add_(0.1 * (noise - 0.5))
    return module


class _Leaves(torch.nn.Module):
    """A model whose outputs are plain tuples: what many deployments export."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module
        # Export names the inputs by this signature.
        self.__signature__ = inspect.signature(module.forward)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs).to_tuple()


def _text(model: Any, config: Any, length: int) -> Model:
    return Model(_Leaves(seeded(lambda: model(config))), (((tokens(config.vocab_size, length),), {}),))


def _vision(model: Any, config: Any, size: int) -> Model:
    config.num_labels = 1000 if size >= 224 else 10
    return Model(_Leaves(seeded(lambda: model(config))), (((image(size),), {}),))


def bert(small: bool) -> Model:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = hf.BertConfig(**(sizes | {"vocab_size": 99} if small else {}))
    return _text(hf.BertModel, config, 8 if small else 128)


def distilbert(small: bool) -> Model:
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99}
    return _text(hf.DistilBertModel, hf.DistilBertConfig(**(sizes if small else {})), 8 if small else 128)


def gpt2(small: bool) -> Model:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    config = hf.GPT2Config(**(sizes if small else {}), use_cache=False)
    return _text(hf.GPT2LMHeadModel, config, 8 if small else 128)


def vit(small: bool) -> Model:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = hf.ViTConfig(**(sizes | {"image_size": 32, "patch_size": 8} if small else {}))
    return _vision(hf.ViTForImageClassification, config, config.image_size)


def resnet(small: bool) -> Model:
    config = hf.ResNetConfig(
        **({"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]} if small else {})
    )
    return _vision(hf.ResNetForImageClassification, config, 32 if small else 224)


def convnext(small: bool) -> Model:
    sizes = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
    return _vision(
        hf.ConvNextForImageClassification, hf.ConvNextConfig(**(sizes if small else {})), 32 if small else 224
    )


def mobilenet(small: bool) -> Model:
    config = hf.MobileNetV2Config(**({"image_size": 32, "depth_multiplier": 0.35} if small else {}))
    return _vision(hf.MobileNetV2ForImageClassification, config, config.image_size)


def t5(small: bool) -> Model:
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 99}
    config = hf.T5Config(**(sizes if small else {}), use_cache=False)
    call = {
        "input_ids": tokens(config.vocab_size, 8 if small else 64),
        "decoder_input_ids": tokens(config.vocab_size, 4 if small else 16, seed=1),
    }
    return Model(_Leaves(seeded(lambda: hf.T5ForConditionalGeneration(config))), (((), call),))


def llama_decode(small: bool) -> Model:
    """A Llama decoding 8 tokens one by one: grouped queries, rotary embedding, a static cache in buffers."""
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    sizes = (
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        if small
        else {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1376}
    )
    config = hf.LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=99 if small else 32000, use_cache=True)
    length = 16 if small else 128
    model = seeded(lambda: hf.LlamaForCausalLM(config))
    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": length}
    model.generation_config.use_cache = True
    step = TorchExportableModuleWithStaticCache(model, batch_size=1, max_cache_len=length)
    ids = tokens(config.vocab_size, 8)
    calls = tuple(
        ((), {"input_ids": ids[:, i : i + 1], "cache_position": torch.tensor([i])}) for i in range(8)
    )
    return Model(step, calls)


def whisper_encoder(small: bool) -> Model:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    published = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
    positions = {"num_mel_bins": 16, "max_source_positions": 20} if small else {}
    config = hf.WhisperConfig(**(sizes if small else published), **positions)
    frames = 2 * config.max_source_positions
    sound = torch.randn(1, config.num_mel_bins, frames, generator=torch.Generator().manual_seed(0))
    return Model(_Leaves(seeded(lambda: WhisperEncoder(config))), (((sound,), {}),))


def clip(small: bool) -> Model:
    if small:
        tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        text = {"vocab_size": 99, "eos_token_id": 98, "bos_token_id": 97, "pad_token_id": 1}
        config = hf.CLIPConfig(
            text_config=tower | text, vision_config=tower | {"image_size": 32, "patch_size": 8}
        )
    else:
        config = hf.CLIPConfig()
    length = 8 if small else 77
    call = {
        "input_ids": tokens(config.text_config.vocab_size, length),
        "pixel_values": image(config.vision_config.image_size),
        "attention_mask": torch.ones(1, length, dtype=torch.int64),
    }
    return Model(_ClipScores(seeded(lambda: hf.CLIPModel(config))), (((), call),))


class _ClipScores(torch.nn.Module):
    """CLIP's scores and embeddings as a tuple; its full output nests other outputs."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        out = self.module(input_ids=input_ids, pixel_values=pixel_values, attention_mask=attention_mask)
        return out.logits_per_image, out.logits_per_text, out.text_embeds, out.image_embeds


#: By name; the argument says whether the small size is built.
ZOO: dict[str, Callable[[bool], Model]] = {
    "bert-base": bert,
    "gpt2": gpt2,
    "vit-b16": vit,
    "resnet-50": resnet,
    "convnext-tiny": convnext,
    "mobilenet-v2": mobilenet,
    "distilbert": distilbert,
    "t5-small": t5,
    "llama-decode": llama_decode,
    "whisper-tiny-encoder": whisper_encoder,
    "clip": clip,
}
