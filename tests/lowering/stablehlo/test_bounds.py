"""Indices: checked where they may be out of bounds, not where they cannot be."""

from __future__ import annotations

import pytest
import torch

import bridge
from lowering.stablehlo import hlo
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.hlo import ir

ENGINES = ["xla", "iree"]


class Lookup(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 3)
        self.register_buffer("cache", torch.zeros(4, 3))

    def forward(self, ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids)
        self.cache.index_copy_(0, at, rows)
        return self.cache * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_out_of_bounds_is_an_error_that_names_its_node_and_changes_nothing(engine: str) -> None:
    good, at = torch.tensor([1, 4]), torch.tensor([0, 3])
    compiled = bridge.lower(Lookup(), (good, at)).compile(engine)
    compiled(good, at)
    before = compiled.buffers["cache"]
    for ids, places, node, size in (
        (torch.tensor([1, 5]), at, "aten.embedding.default", 5),
        (torch.tensor([-1, 0]), at, "aten.embedding.default", 5),
        (good, torch.tensor([4, 0]), "aten.index_copy_.default", 4),
        (good, torch.tensor([0, 1 << 40]), "aten.index_copy_.default", 4),
    ):
        with pytest.raises(
            IndexError, match=f"{node} .*test_bounds.py.*out of bounds for an axis of size {size}"
        ):
            compiled(ids, places)
        assert (compiled.buffers["cache"] == before).all()


INDEXED = {
    "index": lambda x, i: x[i],
    "negative": lambda x, i: x[:, i - 3],
    "two": lambda x, i: x[i, i],
    "gather": lambda x, i: x.gather(0, i[None, :]),
    "index_select": lambda x, i: x.index_select(1, i),
    "take": lambda x, i: x.take(i * 4),
    "scatter": lambda x, i: x.scatter(0, i[None, :], 1.0),
    "index_add": lambda x, i: x.index_add(1, i, x[:, :2]),
    "index_put": lambda x, i: x.index_put((i,), x[:2]),
    "index_fill": lambda x, i: x.index_fill(0, i, 2.0),
}


class Call(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.call = INDEXED[name]

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return self.call(x, i)


@pytest.mark.parametrize("name", INDEXED)
def test_every_kind_of_index(name: str) -> None:
    x, good = torch.arange(9.0).reshape(3, 3), torch.tensor([0, 2])
    module = Call(name)
    compiled = bridge.lower(module, (x, good)).compile("xla")
    torch.testing.assert_close(compiled(x, good), module(x, good))
    for bad in (torch.tensor([0, 7]), torch.tensor([-9, 1])):
        with pytest.raises((IndexError, RuntimeError)):
            module(x, bad)
        with pytest.raises(IndexError, match="out of bounds"):
            compiled(x, bad)


class Positions(torch.nn.Module):
    """Indices that follow from the sizes, as in masks and position embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[0])
        return x[places.flip(0)] + self.table(places[:, None].expand(-1, 1).reshape(-1) + 2)


def test_what_is_in_bounds_by_its_making_is_not_checked() -> None:
    x = torch.randn(4, 2)
    lowered = bridge.lower(Positions(), (x,))
    assert lowered.module(0).checks == ()
    assert "minimum" not in lowered.stablehlo(0)
    torch.testing.assert_close(lowered.compile("xla")(x), Positions.forward(lowered_module(lowered), x))


def lowered_module(lowered: bridge.Lowered) -> Positions:
    """The module with the weights of a lowered one."""
    from lowering.host.weights import torch_weights

    module = Positions()
    module.load_state_dict(torch_weights(lowered.weights, lowered.weights.views))
    return module


GIVEN = """
func.func public @main(%x: tensor<4xi64>, %f: tensor<4xf32>, %b: tensor<4xi1>) -> tensor<4xi64> {
  %zero = stablehlo.constant dense<0> : tensor<4xi64>
  %five = stablehlo.constant dense<5> : tensor<4xi64>
  %low = stablehlo.constant dense<-5> : tensor<4xi64>
  %four = stablehlo.constant dense<4> : tensor<4xi64>
  %huge = stablehlo.constant dense<300> : tensor<4xi64>
  %max = stablehlo.maximum %x, %low {case} : tensor<4xi64>
  %clamped = stablehlo.minimum %max, %four {case} : tensor<4xi64>
  %negative = stablehlo.compare LT, %clamped, %zero : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi1>
  %sum = stablehlo.add %clamped, %five {case} : tensor<4xi64>
  %wrapped = stablehlo.select %negative, %sum, %clamped {case} : tensor<4xi1>, tensor<4xi64>
  %either = stablehlo.select %b, %sum, %clamped {case} : tensor<4xi1>, tensor<4xi64>
  %rest = stablehlo.remainder %x, %five {case} : tensor<4xi64>
  %past = stablehlo.convert %huge {case} : (tensor<4xi64>) -> tensor<4xi8>
  %cast = stablehlo.convert %f {case} : (tensor<4xf32>) -> tensor<4xi32>
  %truth = stablehlo.convert %b {case} : (tensor<4xi1>) -> tensor<4xi32>
  %both = stablehlo.concatenate %rest, %huge, dim = 0 {case} : (tensor<4xi64>, tensor<4xi64>) -> tensor<8xi64>
  return %x : tensor<4xi64>
}
"""


def bounds_of(text: str, mark: str) -> list[tuple[int, int] | None]:
    """Of each operation with this mark, inside regions too; None for those of the type."""
    found: list[tuple[int, int] | None] = []
    with hlo.make_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(text.replace("{case}", f"{{{mark}}}"))

        def note(op: ir.Operation) -> ir.WalkResult:
            if mark in op.attributes:
                known = interval(op.results[0])
                bits = ir.IntegerType(ir.RankedTensorType(op.results[0].type).element_type).width
                limits = (-(1 << bits - 1), (1 << bits - 1) - 1)
                found.append(None if known == limits else tuple(known))
            return ir.WalkResult.ADVANCE

        module.operation.walk(note)
    return found


def test_bounds_follow_from_operations() -> None:
    assert bounds_of(GIVEN, "test.case") == [
        (-5, (1 << 63) - 1),
        (-5, 4),
        (0, 9),
        (0, 4),
        (-5, 9),
        (-4, 4),
        None,
        None,
        (0, 1),
        (-4, 300),
    ]


LOOP = """
func.func public @main(%x: tensor<i64>) -> tensor<i64> {
  %zero = stablehlo.constant dense<0> : tensor<i64>
  %nine = stablehlo.constant dense<9> : tensor<i64>
  %0:5 = stablehlo.while(%i = %zero, %j = %nine, %k = %x, %same = %nine, %any = %zero)
      : tensor<i64>, tensor<i64>, tensor<i64>, tensor<i64>, tensor<i64>
    cond {
      %limit = stablehlo.constant dense<LIMIT> : tensor<i64>
      %go = stablehlo.compare TEST, %i, %limit : (tensor<i64>, tensor<i64>) -> tensor<i1>
      stablehlo.return %go : tensor<i1>
    } do {
      %one = stablehlo.constant dense<STEP> : tensor<i64>
      %down = stablehlo.constant dense<-2> : tensor<i64>
      %a = stablehlo.convert %i {case} : tensor<i64>
      %b = stablehlo.convert %j {case} : tensor<i64>
      %c = stablehlo.convert %k {case} : tensor<i64>
      %d = stablehlo.convert %same {case} : tensor<i64>
      %e = stablehlo.convert %any {case} : tensor<i64>
      %1 = stablehlo.add %i, %one : tensor<i64>
      %2 = stablehlo.add %j, %down : tensor<i64>
      %3 = stablehlo.add %k, %one : tensor<i64>
      %4 = stablehlo.multiply %any, %i : tensor<i64>
      stablehlo.return %1, %2, %3, %same, %4
        : tensor<i64>, tensor<i64>, tensor<i64>, tensor<i64>, tensor<i64>
    }
  return %0#0 : tensor<i64>
}
"""


@pytest.mark.parametrize(
    ("limit", "test", "step", "bounds"),
    [
        (5, "LT", 1, [(0, 4), (1, 9), None, (9, 9), None]),
        (5, "LT", 2, [(0, 4), (5, 9), None, (9, 9), None]),
        # A body that never runs has bounds of one turn.
        (0, "LT", 1, [(0, 0), (9, 9), None, (9, 9), None]),
        (5, "LT", -1, [None, None, None, (9, 9), None]),
        (5, "NE", 1, [None, None, None, (9, 9), None]),
        # The counter wraps around before it gets there.
        ((1 << 63) - 1, "LT", 2, [None, None, None, (9, 9), None]),
    ],
)
def test_bounds_of_counters_follow_from_loops(limit: int, test: str, step: int, bounds: list) -> None:
    text = LOOP.replace("LIMIT", str(limit)).replace("TEST", test).replace("STEP", str(step))
    assert bounds_of(text, "test.case") == bounds
