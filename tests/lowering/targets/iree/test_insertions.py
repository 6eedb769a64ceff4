"""A slice is computed before it is inserted into what it is made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline

import bridge
from lowering.ir.plan import Placement
from lowering.targets.iree.insertions import hold_insertions
from tests.lowering.targets.iree.through import function, text_through

T, S = "tensor<4xf32>", "tensor<3xf32>"
HEAD = f"(%x: {T}, %y: {T}) -> {T}"
INSERT = f"%r = tensor.insert_slice %s into %x[1] [3] [1] : {S} into {T}"
RETURN = f"util.return %r : {T}"


def sliced(of: str) -> str:
    return f"%s = tensor.extract_slice %{of}[0] [3] [1] : {T} to {S}"


def looked_up(of: str) -> str:
    """The same numbers, one by one."""
    return f"""%e = tensor.empty() : {S}
    %s = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}}
        outs(%e : {S}) {{
    ^bb0(%a: f32):
      %i = linalg.index 0 : index
      %m = tensor.extract %{of}[%i] : {T}
      linalg.yield %m : f32
    }} -> {S}"""


def test_a_slice_of_the_same_tensor_is_held() -> None:
    assert_expected_inline(
        text_through(function(HEAD, sliced("x"), INSERT, RETURN), hold_insertions),
        """\
module {
  util.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xf32> {
    %extracted_slice = tensor.extract_slice %arg0[0] [3] [1] : tensor<4xf32> to tensor<3xf32>
    %0 = util.optimization_barrier %extracted_slice : tensor<3xf32>
    %inserted_slice = tensor.insert_slice %0 into %arg0[1] [3] [1] : tensor<3xf32> into
        tensor<4xf32>
    util.return %inserted_slice : tensor<4xf32>
  }
}
""",
    )


@pytest.mark.parametrize(("of", "count"), [("x", 1), ("y", 0)])
@pytest.mark.parametrize("spelled", [sliced, looked_up])
def test_whose_slices_are_held(spelled: Callable[[str], str], of: str, count: int) -> None:
    text = function(HEAD, spelled(of), INSERT, RETURN)
    assert text_through(text, hold_insertions).count("util.optimization_barrier") == count


def test_a_slice_of_what_was_there_before_another_insertion_is_held() -> None:
    before = f"%b = tensor.insert_slice %s into %x[0] [3] [1] : {S} into {T}"
    text = function(HEAD, sliced("x"), before, INSERT.replace("into %x", "into %b"), RETURN)
    assert text_through(text, hold_insertions).count("util.optimization_barrier") == 2


def test_names_that_come_again_in_another_loop_are_other_values() -> None:
    """As IREE prints them, `%m` of the first loop is `%m` of the second, which reads what is written to."""
    first = looked_up("y")
    second = looked_up("r").replace("%s =", "%t =").replace("%e", "%f")
    text = function(HEAD, first, INSERT, second, RETURN)
    assert "util.optimization_barrier" not in text_through(text, hold_insertions)


def _more(count: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return count < 3


def _shift(count: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return count + 1, y.slice_scatter(y[:-1], 0, 1)


class Shifts(torch.nn.Module):
    """A loop: each turn writes to the tensor that it reads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.higher_order.while_loop(_more, _shift, (torch.tensor(0), x), ())[1]


def test_a_shift_in_place() -> None:
    x = torch.arange(9.0)
    compiled = bridge.lower(Shifts(), (x,)).compile("iree")
    torch.testing.assert_close(compiled(x), Shifts()(x))
    assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons
