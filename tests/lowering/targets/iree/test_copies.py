"""What a caller passes to IREE is only read, whatever the program does with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline
from iree.compiler.tools.binaries import find_tool

import bridge
from lowering.ir.module import Module, Port
from lowering.ir.plan import Placement
from lowering.ir.types import DType
from lowering.targets.iree.copies import copy_overwritten_values
from tests.lowering.targets.iree.through import function, text_through

INDEX = torch.tensor([0, 2])
PROGRAMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "scatter": lambda x: x.scatter(0, INDEX[None, :], 1),
    "index_put": lambda x: x.index_put((INDEX,), x[:2]),
    "index_add": lambda x: x.index_add(1, INDEX, x[:, :2]),
    "index_copy": lambda x: x.reshape(-1).index_copy(0, INDEX, x[0, :2]).reshape(3, 3),
    "slice_scatter": lambda x: x.slice_scatter(x[:1] * 2, 0, 1, 2),
    "select_scatter": lambda x: x.t().select_scatter(x[0] * 2, 0, 1),
    "sort": lambda x: x.sort(-1).values,
    "cumsum": lambda x: x.cumsum(0),
    "addmm": lambda x: torch.addmm(x, x, x),
    "add": lambda x: x + 1,
    "loop": lambda x: torch.ops.higher_order.while_loop(_more, _step, (torch.tensor(0), x), ())[1],
}


def _more(count: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return count < 3


def _step(count: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return count + 1, x.slice_scatter(x[:1], 0, 1, 2)


class Program(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.call = PROGRAMS[name]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(x)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        *(pytest.param(t, marks=pytest.mark.conformance) for t in (torch.int64, torch.complex64)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_arguments_are_only_read(name: str, dtype: torch.dtype) -> None:
    if dtype.is_complex and name == "sort":
        pytest.skip("complex numbers have no order")
    x = torch.arange(9, 0, -1).reshape(3, 3).to(dtype)
    before = x.clone()
    compiled = bridge.lower(Program(name), (x,)).compile("iree")
    expected = PROGRAMS[name](before)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), expected)
        assert torch.equal(x, before)
    if dtype is torch.float32:
        assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons


class Weight(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight.index_put((INDEX,), x)


def test_weights_are_only_read() -> None:
    module = Weight()
    before = module.weight.detach().clone()
    compiled = bridge.lower(module, (torch.zeros(2, 3),)).compile("iree")
    for value in (1.0, 2.0):
        x = torch.full((2, 3), value)
        torch.testing.assert_close(compiled(x), before.index_put((INDEX,), x))
    assert torch.equal(module.weight.detach(), before)


UPDATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sort": lambda y: y.sort().values,
    "topk": lambda y: y.topk(3).values,
    "slice_scatter": lambda y: y.slice_scatter(torch.ones(2), 0, 1, 3),
    "through a view": lambda y: y.reshape(3, 3).slice_scatter(torch.ones(1, 3), 0, 1, 2),
    "twice": lambda y: y.sort().values + y.slice_scatter(torch.ones(2), 0, 1, 3),
    "index_put": lambda y: y.index_put((INDEX,), torch.ones(2)),
    "scatter": lambda y: y.scatter(0, INDEX, 7.0),
    "cumsum": lambda y: y.cumsum(0),
    "loop": lambda y: torch.ops.higher_order.while_loop(_more, _shift, (torch.tensor(0), y), ())[1],
}


def _shift(count: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return count + 1, y.slice_scatter(y[:2] + 1, 0, 1, 3)


class Readers(torch.nn.Module):
    """A value, or an argument, with readers before and beside what would be its update in place."""

    def __init__(self, name: str, of_argument: bool) -> None:
        super().__init__()
        self.update, self.of_argument = UPDATES[name], of_argument

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x if self.of_argument else x + 1
        return y.exp(), y * 2, t + 1, self.update(y), y.flip(0)


@pytest.mark.parametrize("of_argument", [False, True])
@pytest.mark.parametrize("name", UPDATES)
def test_a_value_that_others_read_is_not_overwritten(name: str, of_argument: bool) -> None:
    x, t = torch.tensor([3.0, 1, 2, 9, 8, 7, 4, 6, 5]), torch.ones(5, 2)
    model = Readers(name, of_argument)
    compiled = bridge.lower(model, (x, t)).compile("iree")
    for _ in range(2):
        for got, want in zip(compiled(x, t), model(x, t), strict=True):
            torch.testing.assert_close(got, want)
    assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons


T = "tensor<4xf32>"
HEAD = f"(%x: {T}, %y: {T}) -> {T}"
SLICE = f"%s = tensor.extract_slice %y[0] [2] [1] : {T} to tensor<2xf32>"
EMPTY = f"%e = tensor.empty() : {T}"
NEGATED = f"""%n = linalg.generic {{
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]
    }} ins(%x : {T}) outs(%e : {T}) {{
    ^bb0(%a: f32, %b: f32):
      %m = arith.negf %a : f32
      linalg.yield %m : f32
    }} -> {T}"""


def insert(into: str) -> str:
    return f"%r = tensor.insert_slice %s into %{into}[0] [2] [1] : tensor<2xf32> into {T}"


def copied(*lines: str, source: Module | None = None) -> int:
    """How many values are copied."""
    return text_through(function(HEAD, *lines), copy_overwritten_values, source=source).count("arith.select")


def test_an_argument_that_is_written_to_is_copied() -> None:
    given = function(HEAD, SLICE, insert("x"), f"util.return %r : {T}")
    assert_expected_inline(
        text_through(given, copy_overwritten_values),
        """\
module {
  util.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xf32> {
    %true = arith.constant true
    %0 = util.optimization_barrier %true : i1
    %extracted_slice = tensor.extract_slice %arg1[0] [2] [1] : tensor<4xf32> to tensor<2xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %1 = tensor.empty() : tensor<4xf32>
    %2 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
        iterator_types = ["parallel"]} ins(%arg0 : tensor<4xf32>) outs(%1 : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %3 = arith.select %0, %in, %cst : f32
      linalg.yield %3 : f32
    } -> tensor<4xf32>
    %inserted_slice = tensor.insert_slice %extracted_slice into %2[0] [2] [1] : tensor<2xf32> into
        tensor<4xf32>
    util.return %inserted_slice : tensor<4xf32>
  }
}
""",
    )


def test_a_donated_argument_is_not_copied_unless_something_else_reads_it() -> None:
    x, y, r = (Port(name, DType.FLOAT32, (4,)) for name in "xyr")
    source = Module(b"", (x, y), (r,), donated=(("x", "r"),))
    lines = (SLICE, insert("x"))
    assert copied(*lines, f"util.return %r : {T}") == 1
    assert copied(*lines, f"util.return %r : {T}", source=source) == 0
    reader = (EMPTY, NEGATED)
    assert copied(*reader, *lines, f"util.return %r : {T}", source=source) == 1


def test_a_value_is_copied_where_something_else_reads_it() -> None:
    made = (EMPTY, NEGATED, SLICE, insert("n"))
    assert copied(*made, f"util.return %r : {T}") == 0
    assert copied(*made, f"util.return %n : {T}") == 1


def test_what_is_new_for_each_reader_is_not_copied() -> None:
    assert copied(EMPTY, SLICE, insert("e"), f"util.return %e : {T}") == 0


def test_an_argument_under_another_type_is_copied() -> None:
    views = (
        f"%v = tensor.expand_shape %x [[0, 1]] output_shape [2, 2] : {T} into tensor<2x2xf32>",
        "%o = tensor.extract_slice %v[0, 0] [1, 2] [1, 1] : tensor<2x2xf32> to tensor<2xf32>",
        "%c = tensor.extract_slice %y[0] [1] [1] : tensor<4xf32> to tensor<1xf32>",
        "%r = tensor.insert_slice %c into %o[0] [1] [1] : tensor<1xf32> into tensor<2xf32>",
    )
    assert copied(*views, f"util.return %y : {T}") == 1


def test_two_places_of_an_operation_get_a_copy_each() -> None:
    sort = f"""%r:2 = iree_linalg_ext.sort dimension(0) outs(%x, %x : {T}, {T}) {{
    ^bb0(%a: f32, %b: f32, %c: f32, %d: f32):
      %less = arith.cmpf olt, %a, %b : f32
      iree_linalg_ext.yield %less : i1
    }} -> {T}, {T}"""
    assert copied(sort, f"util.return %r#0 : {T}") == 2


def loop(start: str, into: str) -> str:
    return f"""%i = arith.constant 0 : index
    %r = scf.for %k = %i to %i step %i iter_args(%w = %{start}) -> ({T}) {{
      %u = tensor.insert_slice %s into %{into}[0] [2] [1] : tensor<2xf32> into {T}
      scf.yield %u : {T}
    }}"""


@pytest.mark.parametrize(("start", "into", "count"), [("x", "w", 1), ("e", "w", 0), ("e", "n", 1)])
def test_loops(start: str, into: str, count: int) -> None:
    """One starts from an argument, one from what is new, and one writes to what each turn finds."""
    lines = (EMPTY, NEGATED, SLICE, loop(start, into))
    assert copied(*lines, f"util.return %r : {T}") == count


@pytest.mark.parametrize("element", ["i1", "i64", "f64", "bf16", "f8E4M3FN", "complex<f32>"])
@pytest.mark.parametrize("sizes", ["", "2x3x"])
def test_copies_of_each_type(element: str, sizes: str) -> None:
    t = f"tensor<{sizes}{element}>"
    at = "[0, 0] [2, 3] [1, 1]" if sizes else "[] [] []"
    text = function(
        f"(%x: {t}, %y: {t}) -> {t}",
        f"%r = tensor.insert_slice %y into %x{at} : {t} into {t}",
        f"util.return %r : {t}",
    )
    assert text_through(text, copy_overwritten_values).count("arith.select") == 1


SORTS = """module @m {
  util.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> (tensor<4xi64>, tensor<4xi64>) {
    %0 = tensor.empty() : tensor<4xi64>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%0 : tensor<4xi64>) {
    ^bb0(%out: i64):
      %7 = linalg.index 0 : index
      %8 = arith.index_cast %7 : index to i64
      linalg.yield %8 : i64
    } -> tensor<4xi64>
    %2:2 = iree_linalg_ext.sort dimension(0) outs(%arg0, %1 : tensor<4xf32>, tensor<4xi64>) {
    ^bb0(%in: f32, %in_0: f32, %in_1: i64, %in_2: i64):
      %7 = arith.cmpf olt, %in, %in_0 : f32
      iree_linalg_ext.yield %7 : i1
    } -> tensor<4xf32>, tensor<4xi64>
    %3:2 = iree_linalg_ext.sort dimension(0) outs(%arg1, %1 : tensor<4xf32>, tensor<4xi64>) {
    ^bb0(%in: f32, %in_0: f32, %in_1: i64, %in_2: i64):
      %7 = arith.cmpf olt, %in, %in_0 : f32
      iree_linalg_ext.yield %7 : i1
    } -> tensor<4xf32>, tensor<4xi64>
    util.return %2#1, %3#1 : tensor<4xi64>, tensor<4xi64>
  }
}
"""  # noqa: E501 - an operation is a line, as IREE prints it


def test_the_compiler_does_not_make_one_of_two_copies() -> None:
    """Both sorts would write to it: experts of the second layer of a Mixtral were chosen by the first's."""
    protected = text_through(SORTS, copy_overwritten_values)
    command = [find_tool("iree-opt"), "--cse", "--canonicalize", "-"]
    text = subprocess.run(command, input=protected, capture_output=True, text=True, check=True).stdout
    written = re.findall(r"iree_linalg_ext\.sort dimension\(0\) outs\((%\w+), (%\w+) ", text)
    assert len({value for values in written for value in values}) == 4


class Mixture(torch.nn.Module):
    """Two layers, each of which chooses experts for each row and adds up what they make of it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.gates = torch.nn.Parameter(torch.randn(2, 4, 8, generator=generator))
        self.experts = torch.nn.Parameter(torch.randn(2, 4, 8, 8, generator=generator) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for gate, experts in zip(self.gates, self.experts, strict=True):
            shares, chosen = (x @ gate.T).softmax(-1).topk(2)
            order = chosen.reshape(-1).sort(stable=True).indices
            rows = (order // 2, chosen.reshape(-1)[order])
            made = torch.einsum("ri,rio->ro", x[rows[0]], experts[rows[1]]) * shares.reshape(-1)[order, None]
            x = x + torch.zeros_like(x).index_add(0, rows[0], made)
        return x


def test_two_layers_of_experts() -> None:
    x = torch.randn(7, 8, generator=torch.Generator().manual_seed(1))
    compiled = bridge.lower(Mixture(), (x,)).compile("iree")
    torch.testing.assert_close(compiled(x), Mixture()(x))
    assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons
