"""Convolutions that are computed as matmuls have the same results."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import same_results

Inputs = tuple[torch.Tensor, ...]
CHANNELS_LAST = "convolutions-channels-last"


def _image(channels: int, *sizes: int) -> Inputs:
    return (torch.randn(2, channels, *sizes, generator=torch.Generator().manual_seed(0)),)


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build().eval()


WINOGRAD = stablehlo_pass(CHANNELS_LAST, winograd=True)


@pytest.mark.parametrize(
    ("size", "padding"),
    [*product([(8, 8), (7, 9), (3, 4)], [0, 1, (2, 0)]), ((1, 2), 1)],
)
def test_winograd_is_the_same(size: tuple[int, int], padding: int | tuple[int, int]) -> None:
    convolution = _seeded(lambda: nn.Conv2d(32, 40, 3, padding=padding))
    counts = same_results(convolution, _image(32, *size), WINOGRAD)
    assert not counts["convolution"]
    assert counts["dot_general"] == 1


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(32, 32, 3, stride=2),
        nn.Conv2d(32, 32, 3, dilation=2),
        nn.Conv2d(64, 64, 3, groups=2),
        nn.Conv2d(8, 32, 3),
        nn.Conv2d(32, 32, 5),
    ],
    ids=["strides", "dilation", "groups", "few channels", "more taps"],
)
def test_winograd_is_for_dense_3x3_convolutions(convolution: nn.Conv2d) -> None:
    counts = same_results(convolution.eval(), _image(convolution.in_channels, 9, 9), WINOGRAD)
    assert counts["convolution"] == 1


class Given(nn.Module):
    """A convolution whose kernel comes with the call."""

    def forward(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernel)


def test_winograd_is_for_kernels_of_weights() -> None:
    inputs = (*_image(32, 6, 6), torch.randn(32, 32, 3, 3))
    counts = same_results(Given(), inputs, WINOGRAD)
    assert counts["convolution"] == 1


@pytest.mark.parametrize("size", [(8, 12), (9, 13)], ids=["whole", "with a rest"])
def test_patches_side_by_side_are_a_product(size: tuple[int, int]) -> None:
    convolution = _seeded(lambda: nn.Conv2d(3, 8, (2, 4), stride=(2, 4)))
    counts = same_results(convolution, _image(3, *size), stablehlo_pass(CHANNELS_LAST))
    assert not counts["convolution"]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 3])
def test_convolutions_along_a_line_are_a_product(stride: int, dilation: int) -> None:
    convolution = _seeded(lambda: nn.Conv1d(6, 8, 3, stride, padding=2, dilation=dilation))
    counts = same_results(convolution, _image(6, 17), stablehlo_pass(CHANNELS_LAST, one_axis_as_im2col=True))
    assert not counts["convolution"]
    assert counts["dot_general"] == 1


def test_convolutions_of_halves_are_a_product() -> None:
    convolution = _seeded(lambda: nn.Conv2d(6, 8, 3, padding=1).bfloat16())
    wanted = stablehlo_pass(CHANNELS_LAST, float16_as_im2col=True)
    assert not same_results(convolution, (_image(6, 9, 9)[0].bfloat16(),), wanted)["convolution"]
    assert same_results(convolution.float(), _image(6, 9, 9), wanted)["convolution"] == 1


def test_convolutions_of_many_channels_are_a_product_where_that_is_chosen() -> None:
    layers = _seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2))
    )
    for chosen, left in ((False, 2), (True, 1)):
        wanted = stablehlo_pass(CHANNELS_LAST, many_channels_as_im2col=chosen)
        assert same_results(layers, _image(3, 19, 19), wanted)["convolution"] == left
