"""Weights that are one tensor under several names."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView
from lowering.passes.merge_tied_weights import merge_tied_weights
from tests.lowering.graphs import node, program
from tests.lowering.passes.rewritten import rewritten

NODES = [
    node("sum", "aten.add.Tensor", self="%first", other="%second"),
    node("out", "aten.mul.Tensor", self="%sum", other="%third"),
]
GIVEN = program(
    ["first", "second", "third"], NODES, ["%out", "%second"], buffers=("first", "second", "third")
)


def weights(**offsets: int) -> Weights:
    """Weights of 2x3 floats, at these places of one storage."""
    views = {name: WeightView("s", DType.FLOAT32, (2, 3), (3, 1), offset) for name, offset in offsets.items()}
    return Weights({"s": Storage(64, lambda: None)}, views)  # pyright: ignore[reportArgumentType]


def test_uses_of_the_second_name_are_of_the_first() -> None:
    item = merge_tied_weights(weights(first=0, second=0, third=6))
    assert_expected_inline(
        rewritten(item, GIVEN),
        """\
main(
  %first: f32[2, 3]  # buffer first
  %second: f32[2, 3]  # buffer second
  %third: f32[2, 3]  # buffer third
) {
  %sum: f32[2, 3] = aten.add.Tensor(self=%first, other=%second)
  %out: f32[2, 3] = aten.mul.Tensor(self=%sum, other=%third)
  return (
    %out
    %second
  )
}
=>
main(
  %first: f32[2, 3]  # buffer first
  %second: f32[2, 3]  # buffer second
  %third: f32[2, 3]  # buffer third
) {
  %sum: f32[2, 3] = aten.add.Tensor(self=%first, other=%first)
  %out: f32[2, 3] = aten.mul.Tensor(self=%sum, other=%third)
  return (
    %out
    %first
  )
}
""",
    )


def test_weights_that_are_not_tied_stay() -> None:
    assert merge_tied_weights(weights(first=0, second=3, third=6)).run(GIVEN) is GIVEN
    assert merge_tied_weights(None).run(GIVEN) is GIVEN
