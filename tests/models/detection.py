"""Networks that find things in pictures."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.attention import SMALL
from tests.models.model import Named
from tests.models.registry import register_model

_FOUND = ("logits", "pred_boxes")
_BACKBONE = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"])
_DETR = {
    "use_timm_backbone": False,
    "backbone": None,
    "use_pretrained_backbone": False,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 5,
    "num_labels": 4,
    "auxiliary_loss": False,
}


@register_model(
    "detr",
    ((1, 3, 32, 32),),
    ("detection", "attention"),
    "DETR: queries attend to a picture, a box each",
)
def detr() -> nn.Module:
    return Named(hf.DetrForObjectDetection(hf.DetrConfig(backbone_config=_BACKBONE, **_DETR)), *_FOUND)


@register_model(
    "conditional-detr",
    ((1, 3, 32, 32),),
    ("detection", "attention"),
    "Conditional DETR: queries that know where they look",
)
def conditional_detr() -> nn.Module:
    config = hf.ConditionalDetrConfig(backbone_config=_BACKBONE, **_DETR)
    return Named(hf.ConditionalDetrForObjectDetection(config), *_FOUND)


@register_model(
    "deformable-detr",
    ((1, 3, 32, 32),),
    ("detection", "attention"),
    "Deformable DETR: attention to a few places that it chooses",
)
def deformable_detr() -> nn.Module:
    backbone = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage1", "stage2"]
    )
    sizes = _DETR | {"d_model": 32, "decoder_layers": 2}
    config = hf.DeformableDetrConfig(
        backbone_config=backbone, **sizes, num_feature_levels=2, encoder_n_points=2, decoder_n_points=2
    )
    return Named(hf.DeformableDetrForObjectDetection(config), *_FOUND)


@register_model("yolos", ((1, 3, 32, 32),), ("detection", "attention"), "YOLOS: a ViT whose tokens are boxes")
def yolos() -> nn.Module:
    config = hf.YolosConfig(**SMALL, image_size=[32, 32], patch_size=8, num_detection_tokens=4, num_labels=3)
    return Named(hf.YolosForObjectDetection(config), *_FOUND)


class Pyramid(nn.Module):
    """RetinaNet: a pyramid of features, one head for all sizes, boxes from anchors (Lin et al., 2017)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3 if i == 0 else channels, channels, 3, 2, 1), nn.ReLU())
                for i in range(3)
            ]
        )
        self.sides = nn.ModuleList([nn.Conv2d(channels, channels, 1) for _ in range(3)])
        self.scores = nn.Conv2d(channels, classes, 3, padding=1)
        self.boxes = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = []
        for stage, side in zip(self.stages, self.sides, strict=True):
            x = stage(x)
            maps.append(side(x))
        for finer, coarser in ((1, 2), (0, 1)):
            maps[finer] = maps[finer] + F.interpolate(maps[coarser], scale_factor=2.0, mode="nearest")
        scores = torch.cat([self.scores(m).flatten(2) for m in maps], 2).sigmoid()
        places = torch.cat([self._centres(m, 2 ** (i + 1)) for i, m in enumerate(maps)], 1)
        shifts = torch.cat([self.boxes(m).flatten(2) for m in maps], 2)
        centre, half = places[:2] + 4 * shifts[:, :2].tanh(), places[2:] * shifts[:, 2:].clamp(-2, 2).exp()
        return scores, torch.cat([centre - half, centre + half], 1)

    @staticmethod
    def _centres(features: torch.Tensor, stride: int) -> torch.Tensor:
        """Per place its centre and half its size: [4, places]."""
        down, across = (torch.arange(n) * stride + stride / 2 for n in features.shape[2:])
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy")).flatten(1)
        return torch.cat([grid, torch.full_like(grid, float(stride))])


@register_model(
    "retinanet",
    ((1, 3, 32, 32),),
    ("detection", "convolutional", "skip-connections"),
    "RetinaNet: a pyramid of features, boxes from anchors at each size",
)
def retinanet() -> nn.Module:
    return Pyramid(8, 3)


class CenterNet(nn.Module):
    """Objects as points: peaks of a heat map, sizes read where they are (Zhou et al., 2019)."""

    def __init__(self, channels: int, classes: int, best: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 4, 2, 1),
            nn.ReLU(),
        )
        self.heat, self.sizes = nn.Conv2d(channels, classes, 1), nn.Conv2d(channels, 2, 1)
        self.best = best

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.body(x)
        heat = self.heat(y).sigmoid()
        peaks = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, 0.0)
        scores, which = peaks.flatten(1).topk(self.best)
        area = heat.shape[2] * heat.shape[3]
        label, place = which // area, which % area
        size = self.sizes(y).flatten(2).gather(2, place.unsqueeze(1).expand(-1, 2, -1))
        centre = torch.stack([place % heat.shape[3], place // heat.shape[3]], 1).float()
        return scores, label, torch.cat([centre - size / 2, centre + size / 2], 1)


@register_model(
    "centernet",
    ((1, 3, 32, 32),),
    ("detection", "convolutional"),
    "CenterNet: objects as peaks of heat",
)
def centernet() -> nn.Module:
    return CenterNet(8, 3, 5)
