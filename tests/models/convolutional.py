"""Networks of convolutions that look at pictures."""

from __future__ import annotations

import transformers as hf
from torch import nn

from benchmarks.architectures import MobileNetV3
from tests.models.model import Leaves
from tests.models.registry import register_model

PICTURE = ((1, 3, 32, 32),)
PUBLISHED = ((1, 3, 224, 224),)


def _labels(small: bool) -> dict[str, int]:
    return {"num_labels": 10 if small else 1000}


@register_model(
    "resnet-50",
    PICTURE,
    ("convolutional", "skip-connections"),
    "ResNet: bottlenecks, each added to its input",
    published=PUBLISHED,
)
def resnet(small: bool) -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
    return Leaves(
        hf.ResNetForImageClassification(hf.ResNetConfig(**(sizes if small else {}), **_labels(small)))
    )


@register_model(
    "convnext-tiny",
    PICTURE,
    ("convolutional", "skip-connections"),
    "ConvNeXt: wide depthwise convolutions, layer norms, scaled residuals",
    published=PUBLISHED,
)
def convnext(small: bool) -> nn.Module:
    sizes = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
    config = hf.ConvNextConfig(**(sizes if small else {}), **_labels(small))
    return Leaves(hf.ConvNextForImageClassification(config))


@register_model(
    "mobilenet-v2",
    PICTURE,
    ("convolutional",),
    "MobileNetV2: inverted bottlenecks with depthwise convolutions",
    published=PUBLISHED,
)
def mobilenet(small: bool) -> nn.Module:
    sizes = {"image_size": 32, "depth_multiplier": 0.35}
    config = hf.MobileNetV2Config(**(sizes if small else {}), **_labels(small))
    return Leaves(hf.MobileNetV2ForImageClassification(config))


@register_model(
    "mobilenet-v3", PICTURE, ("convolutional",), "MobileNetV3: squeeze and excite, hard activations"
)
def mobilenet_v3() -> nn.Module:
    return MobileNetV3(4, 10)


@register_model(
    "efficientnet", PICTURE, ("convolutional",), "EfficientNet: one factor scales depth, width and size"
)
def efficientnet() -> nn.Module:
    config = hf.EfficientNetConfig(
        image_size=32, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320, num_labels=10,
        kernel_sizes=[3, 5], in_channels=[32, 16], out_channels=[16, 24], strides=[1, 2],
        num_block_repeats=[1, 2], expand_ratios=[1, 6], depthwise_padding=[],
    )  # fmt: skip
    return Leaves(hf.EfficientNetForImageClassification(config))


@register_model("regnet", PICTURE, ("convolutional",), "RegNet: convolutions in groups, widths by a rule")
def regnet() -> nn.Module:
    config = hf.RegNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=4, num_labels=10
    )
    return Leaves(hf.RegNetForImageClassification(config))


@register_model(
    "poolformer", PICTURE, ("convolutional",), "PoolFormer: average pooling where transformers attend"
)
def poolformer() -> nn.Module:
    config = hf.PoolFormerConfig(
        hidden_sizes=[8, 16], depths=[1, 1], num_encoder_blocks=2, patch_sizes=[7, 3], strides=[4, 2],
        padding=[2, 1], num_labels=10,
    )  # fmt: skip
    return Leaves(hf.PoolFormerForImageClassification(config))


@register_model(
    "focalnet", PICTURE, ("convolutional",), "FocalNet: contexts of growing size, gated per place"
)
def focalnet() -> nn.Module:
    config = hf.FocalNetConfig(
        image_size=32, embed_dim=16, depths=[1, 1], focal_levels=[2, 2], focal_windows=[3, 3],
        hidden_sizes=[16, 32], num_labels=10,
    )  # fmt: skip
    return Leaves(hf.FocalNetForImageClassification(config))
