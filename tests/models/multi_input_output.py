"""Networks of several inputs or outputs, in structures too."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.attention import SMALL
from tests.models.model import Named, ids
from tests.models.registry import Shapes, register_model


def _clip_inputs(vocabulary: int, length: int, size: int) -> Shapes:
    return {
        "input_ids": ids(vocabulary, 1, length),
        "pixel_values": (1, 3, size, size),
        "attention_mask": torch.ones(1, length, dtype=torch.int64),
    }


@register_model(
    "clip",
    _clip_inputs(99, 8, 32),
    ("multi-input-output", "attention"),
    "CLIP: a tower for text and one for pictures, compared",
    published=_clip_inputs(49408, 77, 224),
)
def clip(small: bool) -> nn.Module:
    if not small:
        return _clip(hf.CLIPConfig())
    text = {"vocab_size": 99, "eos_token_id": 98, "bos_token_id": 97, "pad_token_id": 1}
    return _clip(
        hf.CLIPConfig(text_config=SMALL | text, vision_config=SMALL | {"image_size": 32, "patch_size": 8})
    )


def _clip(config: hf.CLIPConfig) -> nn.Module:
    outputs = "logits_per_image", "logits_per_text", "text_embeds", "image_embeds"
    return Named(hf.CLIPModel(config), *outputs)


@register_model(
    "siglip",
    {"input_ids": ids(99, 2, 6), "pixel_values": (2, 3, 32, 32)},
    ("multi-input-output", "attention"),
    "SigLIP: scores of all pairs of texts and pictures, pooled by attention",
)
def siglip() -> nn.Module:
    config = hf.SiglipConfig(
        text_config=SMALL | {"vocab_size": 99, "max_position_embeddings": 8},
        vision_config=SMALL | {"image_size": 32, "patch_size": 8},
    )
    return Named(hf.SiglipModel(config), "logits_per_text", "text_embeds", "image_embeds")


class Recommender(nn.Module):
    """DLRM: numbers and bags of categories, all pairs of their vectors multiplied (Naumov et al., 2019)."""

    def __init__(self, numbers: int, tables: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(numbers, 16), nn.ReLU(), nn.Linear(16, width), nn.ReLU())
        self.tables = nn.ModuleList([nn.EmbeddingBag(size, width, mode="sum") for size in tables])
        count = len(tables) + 1
        pairs = torch.tril_indices(count, count, -1)
        self.register_buffer("rows", pairs[0])
        self.register_buffer("columns", pairs[1])
        self.top = nn.Sequential(nn.Linear(width + pairs.shape[1], 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, numbers: torch.Tensor, bags: list[torch.Tensor]) -> torch.Tensor:
        dense = self.bottom(numbers)
        looked_up = [table(bag) for table, bag in zip(self.tables, bags, strict=True)]
        vectors = torch.stack([dense, *looked_up], 1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        return self.top(torch.cat([dense, products[:, self.rows, self.columns]], 1)).sigmoid()


@register_model(
    "dlrm",
    ((4, 5), [ids(20, 4, 3), ids(30, 4, 2), ids(10, 4, 1)]),
    ("multi-input-output",),
    "DLRM: a recommender of numbers and of bags of categories",
)
def dlrm() -> nn.Module:
    return Recommender(5, (20, 30, 10), 8)


class ManyTasks(nn.Module):
    """A shared body; a dictionary of inputs to a dictionary of answers, one of them a tuple."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words = nn.EmbeddingBag(50, width)
        self.body = nn.Sequential(nn.Linear(8 + width, width), nn.GELU())
        self.age, self.kind, self.box = nn.Linear(width, 1), nn.Linear(width, 5), nn.Linear(width, 4)

    def forward(self, sample: dict[str, torch.Tensor]) -> dict[str, object]:
        seen = torch.cat([self.picture(sample["picture"]), self.words(sample["words"])], 1)
        x = self.body(seen)
        scores = self.kind(x)
        return {
            "age": F.softplus(self.age(x)).squeeze(1),
            "kind": (scores.log_softmax(1), scores.argmax(1)),
            "box": self.box(x).sigmoid(),
        }


@register_model(
    "many-tasks",
    ({"picture": (2, 3, 12, 12), "words": ids(50, 2, 6)},),
    ("multi-input-output",),
    "Many tasks: a dictionary of inputs, a dictionary of answers",
)
def many_tasks() -> nn.Module:
    return ManyTasks(12)


class TwoTower(nn.Module):
    """Queries and documents, scores of all pairs and the best three (Covington et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Sequential(nn.EmbeddingBag(40, width), nn.Linear(width, width))
        self.documents = nn.Sequential(nn.EmbeddingBag(40, width), nn.Linear(width, width))

    def forward(self, queries: torch.Tensor, documents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        left = F.normalize(self.queries(queries), dim=1)
        right = F.normalize(self.documents(documents), dim=1)
        best = (left @ right.t()).topk(3, 1)
        return best.values, best.indices


@register_model(
    "two-tower",
    (ids(40, 3, 4), ids(40, 6, 5)),
    ("multi-input-output",),
    "Two-tower retrieval: scores of all pairs, and the best three",
)
def two_tower() -> nn.Module:
    return TwoTower(16)
