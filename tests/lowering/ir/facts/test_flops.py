"""Floating-point operations, as the sums in each definition count them."""

from __future__ import annotations

import pytest

from lowering.ir.facts.flops import flops, sizes_of
from lowering.ir.program import Argument, Node, Ref
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, TensorType, contiguous

N = Symbol("s0")


def counted(target: str, made: tuple[int, ...], transposed: bool = False, **given: tuple[int, ...]) -> int:
    values = {name: contiguous(DType.FLOAT32, sizes) for name, sizes in {**given, "out": made}.items()}
    args = [Argument(name, Ref(name)) for name in given]
    if transposed:
        args.append(Argument("transposed", True))
    return flops(Node("out", target, tuple(args), ("out",)), values, {})


@pytest.mark.parametrize(
    ("target", "made", "given", "wanted"),
    [
        ("aten.mm.default", (2, 5), {"self": (2, 3), "mat2": (3, 5)}, 2 * 2 * 5 * 3),
        ("aten.bmm.default", (4, 2, 5), {"self": (4, 2, 3), "mat2": (4, 3, 5)}, 2 * 4 * 2 * 5 * 3),
        ("aten.addmm.default", (2, 5), {"self": (5,), "mat1": (2, 3), "mat2": (3, 5)}, 2 * 2 * 5 * 3),
        ("aten.linear.default", (7, 2, 5), {"input": (7, 2, 3), "weight": (5, 3)}, 2 * 7 * 2 * 5 * 3),
        ("aten.mv.default", (2,), {"self": (2, 3), "vec": (3,)}, 2 * 2 * 3),
        ("aten.dot.default", (), {"self": (3,), "tensor": (3,)}, 2 * 3),
        ("aten.add.Tensor", (2, 5), {"self": (2, 5), "other": (2, 5)}, 0),
    ],
)
def test_products(target: str, made: tuple[int, ...], given: dict[str, tuple[int, ...]], wanted: int) -> None:
    assert counted(target, made, **given) == wanted


def test_convolutions_sum_over_a_window_of_a_group() -> None:
    given = {"input": (1, 4, 9, 9), "weight": (6, 2, 3, 3)}
    assert counted("aten.conv2d.default", (1, 6, 7, 7), **given) == 2 * (6 * 7 * 7) * (2 * 3 * 3)


def test_a_transposed_convolution_spreads_each_input() -> None:
    given = {"input": (1, 4, 7, 7), "weight": (4, 6, 3, 3)}
    found = counted("aten.convolution.default", (1, 6, 9, 9), transposed=True, **given)
    assert found == 2 * (4 * 7 * 7) * (6 * 3 * 3)


def test_attention_is_two_products() -> None:
    given = {"query": (2, 5, 8), "key": (2, 7, 8), "value": (2, 7, 3)}
    found = counted("aten.scaled_dot_product_attention.default", (2, 5, 3), **given)
    assert found == 2 * 2 * 5 * 7 * (8 + 3)


def test_sizes_follow_the_symbols() -> None:
    type_ = TensorType(DType.FLOAT32, (N, 3), (3, 1))
    assert sizes_of(type_, {"s0": 4}) == [4, 3]
    assert sizes_of(type_, {}) is None
    assert sizes_of(None, {}) is None
