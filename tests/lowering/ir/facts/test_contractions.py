"""A product's operands are where the table says: against a product of matrices written out."""

from __future__ import annotations

import pytest
import torch

from lowering.ir.aten import schema, targets
from lowering.ir.facts.contractions import (
    LSTM,
    is_attention,
    is_convolution,
    may_convolve_images,
    product_operands,
)
from lowering.targets.aten.operators import resolve

PRODUCTS = [target for target in targets() if product_operands(target) is not None]


@pytest.mark.parametrize("target", PRODUCTS)
def test_operands(target: str) -> None:
    operands = product_operands(target)
    assert operands is not None
    x, weight, bias = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5)
    given = {operands.input: x, operands.weight: weight.t() if operands.transposed else weight}
    expected = x @ weight.t()
    if operands.bias is not None:
        given[operands.bias], expected = bias, expected + bias
    torch.testing.assert_close(resolve(target)(**given), expected)


def test_products_are_of_two_matrices() -> None:
    assert len(PRODUCTS) == 4
    assert product_operands("aten.bmm.default") is None
    assert product_operands("my.linear.default") is None


def test_convolutions_take_a_kernel_and_are_forward() -> None:
    for target in filter(is_convolution, targets()):
        known = schema(target)
        assert known is not None
        assert [p.name for p in known.parameters[:2]] == ["input", "weight"], target
    images = [target for target in targets() if may_convolve_images(target)]
    assert len(images) == 3
    assert all(map(is_convolution, images))
    x, kernel = torch.randn(1, 2, 5), torch.randn(3, 2, 3)
    line = resolve("aten.conv1d.default")(x, kernel)
    image = resolve("aten.conv2d.default")(x[:, :, None], kernel[:, :, None])
    torch.testing.assert_close(line, image[:, :, 0])
    assert not is_convolution("aten.convolution_backward.default")
    assert not is_convolution("aten.conv_transpose2d.input")


def test_attention_takes_query_key_and_value() -> None:
    found = [target for target in targets() if is_attention(target) and "backward" not in target]
    for target in found:
        known = schema(target)
        assert known is not None
        assert [p.name for p in known.parameters[:3]] == ["query", "key", "value"], target
    assert schema(LSTM) is not None
