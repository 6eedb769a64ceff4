"""The table of models whose sizes a call says: real architectures with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import transformers as hf
from torch.export import Dim

from benchmarks.architectures import mlp
from benchmarks.cases import qwen2
from tests.models.model import seeded

Sizes = tuple[int, ...]


class Varying(NamedTuple):
    """A model. `inputs`: the arguments of a call at some sizes. `shapes`: its `dynamic_shapes`. `example`:
    the sizes that it is exported at, each another number."""

    module: torch.nn.Module
    inputs: Callable[[Sizes], tuple[torch.Tensor, ...]]
    shapes: tuple[dict[int, Any], ...]
    example: Sizes

    def export(self) -> torch.export.ExportedProgram:
        return torch.export.export(self.module, self.inputs(self.example), dynamic_shapes=self.shapes)


class DynamicCase(NamedTuple):
    """A row for each of `sizes`, whose axes are `axes`. `build(small)`: the model."""

    title: str
    axes: str
    sizes: tuple[Sizes, ...]
    build: Callable[[bool], Varying]


class _First(torch.nn.Module):
    """The first result of a model that takes one tensor by name."""

    def __init__(self, model: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.model(**{self.name: given})[0]


# A size that torch must not take for a constant is not 1 where a model is exported.
_BATCH, _LENGTH = 3, 7
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_WORDS = 99


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _tokens(sizes: Sizes) -> tuple[torch.Tensor, ...]:
    batch, length = sizes if len(sizes) == 2 else (1, *sizes)
    return (torch.randint(0, _WORDS, (batch, length), generator=_generator()),)


def _bert(small: bool) -> Varying:
    config = hf.BertConfig(**(_SMALL if small else {}))
    module = _First(seeded(lambda: hf.BertModel(config, add_pooling_layer=False)), "input_ids")
    axes = {0: Dim("batch", min=1, max=64), 1: Dim("length", min=2, max=512)}
    return Varying(module, _tokens, (axes,), (_BATCH, _LENGTH))


def _llama(small: bool) -> Varying:
    """Qwen2 0.5B, whose layers are Llama's with biases: 494 million weights."""
    module: Any = qwen2(small)
    module.config.use_cache = False
    shapes = ({1: Dim("length", min=2, max=512)},)
    return Varying(_First(module, "input_ids"), _tokens, shapes, (_LENGTH,))


def _resnet(small: bool) -> Varying:
    shallow = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
    config = hf.ResNetConfig(**(shallow if small else {}))
    width = 32 if small else 224
    return Varying(
        _First(seeded(lambda: hf.ResNetForImageClassification(config)), "pixel_values"),
        lambda sizes: (torch.randn(*sizes, 3, width, width, generator=_generator()),),
        ({0: Dim("batch", min=1, max=64)},),
        (_BATCH,),
    )


def _mlp(small: bool) -> Varying:
    width, hidden = (16, 32) if small else (512, 2048)
    return Varying(
        seeded(lambda: mlp(width, hidden)),
        lambda sizes: (torch.randn(*sizes, width, generator=_generator()),),
        ({0: Dim("batch", min=1, max=512)},),
        (_BATCH,),
    )


DYNAMIC_CASES: dict[str, DynamicCase] = {
    "bert": DynamicCase(
        "BERT-base", "batch x length", ((1, 16), (1, 50), (1, 128), (4, 128), (1, 384)), _bert
    ),
    "llama": DynamicCase("Qwen2 0.5B, prefill", "length", ((16,), (50,), (128,), (256,), (384,)), _llama),
    "resnet50": DynamicCase("ResNet-50", "batch", ((1,), (2,), (4,), (8,), (16,)), _resnet),
    "mlp": DynamicCase("MLP 512-2048-512", "batch", ((1,), (4,), (7,), (32,), (128,)), _mlp),
}
