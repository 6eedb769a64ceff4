"""Networks that answer for every pixel."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.model import Leaves
from tests.models.registry import register_model

PICTURE = ((1, 3, 32, 32),)


@register_model(
    "segformer",
    PICTURE,
    ("segmentation", "attention"),
    "SegFormer: a transformer, a light head",
)
def segformer() -> nn.Module:
    config = hf.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
        strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=4,
    )  # fmt: skip
    return Leaves(hf.SegformerForSemanticSegmentation(config))


@register_model(
    "upernet",
    PICTURE,
    ("segmentation", "convolutional"),
    "UPerNet: a pyramid of pools over ConvNeXt",
)
def upernet() -> nn.Module:
    backbone = hf.ConvNextConfig(
        hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, out_features=["stage1", "stage2"]
    )
    config = hf.UperNetConfig(
        backbone_config=backbone, hidden_size=16, pool_scales=[1, 2], use_auxiliary_head=False, num_labels=4
    )
    return Leaves(hf.UperNetForSemanticSegmentation(config))


@register_model(
    "mobilevit-deeplab",
    ((1, 3, 64, 64),),
    ("segmentation", "attention", "convolutional"),
    "MobileViT with DeepLab's head: dilated convolutions side by side",
)
def mobilevit() -> nn.Module:
    config = hf.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 20, 24], neck_hidden_sizes=[8, 8, 12, 16, 16, 16, 32],
        num_attention_heads=2, aspp_out_channels=16, num_labels=4, atrous_rates=[1, 2, 3],
    )  # fmt: skip
    return Leaves(hf.MobileViTForSemanticSegmentation(config))


@register_model(
    "dpt-depth", PICTURE, ("segmentation", "attention"), "DPT: the depth of each pixel from a ViT"
)
def dpt() -> nn.Module:
    config = hf.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32,
        patch_size=8, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, reassemble_factors=[4, 2, 1, 0.5], head_in_index=-1,
    )  # fmt: skip
    model = hf.DPTForDepthEstimation(config)
    # A depth is not below zero, and without this all would be zero.
    nn.init.constant_(model.head.head[-2].bias, 0.5)
    return Leaves(model)


def _twice(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """Down and up, what was seen on the way down joined on the way up (Ronneberger et al., 2015)."""

    def __init__(self, channels: int, depth: int, classes: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList([_twice(a, b) for a, b in zip([3, *widths], widths[:-1], strict=False)])
        self.middle = _twice(widths[-2], widths[-1])
        steps = list(zip(reversed(widths), reversed(widths[:-1]), strict=False))
        self.grow = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, 2) for a, b in steps])
        self.up = nn.ModuleList([_twice(2 * b, b) for _, b in steps])
        self.scores = nn.Conv2d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = []
        for block in self.down:
            seen.append(block(x))
            x = F.max_pool2d(seen[-1], 2)
        x = self.middle(x)
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([seen.pop(), grow(x)], 1))
        return self.scores(x)


@register_model(
    "unet",
    ((1, 3, 16, 16),),
    ("segmentation", "convolutional", "skip-connections"),
    "U-Net: sizes joined across",
)
def unet() -> nn.Module:
    return UNet(4, 2, 3)


class MaskHead(nn.Module):
    """Queries times pixels: a mask per query and a map of the best, as MaskFormer has them."""

    def __init__(self, channels: int, queries: int, classes: int) -> None:
        super().__init__()
        self.pixels = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )
        self.queries = nn.Parameter(torch.randn(1, queries, channels))
        self.layer = nn.TransformerDecoderLayer(channels, 2, 2 * channels, batch_first=True)
        self.classes = nn.Linear(channels, classes + 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self.pixels(x)
        queries = self.layer(self.queries.expand(x.shape[0], -1, -1), pixels.flatten(2).transpose(1, 2))
        masks = torch.einsum("bqc,bchw->bqhw", queries, pixels).sigmoid()
        shares = self.classes(queries).softmax(2)[..., :-1]
        scores = torch.einsum("bqk,bqhw->bkhw", shares, masks)
        large = F.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=False)
        return large, large.argmax(1)


@register_model(
    "mask-queries",
    ((1, 3, 16, 16),),
    ("segmentation", "attention", "multi-input-output"),
    "Masks as products of queries and pixels, as in MaskFormer",
)
def mask_queries() -> nn.Module:
    return MaskHead(8, 4, 3)
