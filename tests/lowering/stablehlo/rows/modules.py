"""Modules for all sizes of a few operations, as text: `s` is the batch size, `t` another size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Dim, Symbol
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.rows.proof import with_batch_axes

S, T = Symbol("s"), Symbol("t")
X4 = {"x": ("f32", (S, 4))}
Y4 = {"y": ("f32", (S, 4))}
ROWS = {"y": 0}
# Types that come often.
_SHORT = {"$R": "tensor<?x4xf32>", "$S": "tensor<2xi64>", "$D": "tensor<1xi64>"}


class Case(NamedTuple):
    """An operation or a few. `$R`, `$S` and `$D` are types: rows of 4, and one and two sizes.

    `verdict`: by result, the axis of its rows (with how many elements each has), or None for a result that
    is the same at every size. A text: the beginning of the reason for which rows are mixed.
    """

    name: str
    body: str
    verdict: Mapping[str, Any] | str
    inputs: Mapping[str, tuple[str, tuple[Dim, ...]]] = X4
    results: Mapping[str, tuple[str, tuple[Dim, ...]]] = Y4

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


def check(case: Case) -> None:
    """Fail unless the verdict on the batch size of a case is the one that it says."""
    body = case.body
    for short, type_ in _SHORT.items():
        body = body.replace(short, type_)
    found = with_batch_axes(dynamic_module(body, case.inputs, case.results)).batch_axes["s"]
    if isinstance(case.verdict, str):
        assert isinstance(found, Mixing), found
        assert found.reason.startswith(case.verdict), found.reason
        return
    assert isinstance(found, BatchAxes), found
    axes = {name: axis for name, axis in case.verdict.items() if axis is not None}
    assert found.outputs == {
        name: (RowAxis(*axis) if isinstance(axis, tuple) else RowAxis(axis),) for name, axis in axes.items()
    }


#: Sizes as values, of `%x`, whose first axis is the batch axis: 0-d, and of rank 1.
SIZES = """
  %n32 = stablehlo.get_dimension_size %x, dim = 0 : (tensor<XxELEMENT>) -> tensor<i32>
  %n = stablehlo.convert %n32 : (tensor<i32>) -> tensor<i64>
  %n1 = stablehlo.reshape %n : (tensor<i64>) -> tensor<1xi64>
  %c0 = stablehlo.constant dense<0> : tensor<1xi64>
  %c1 = stablehlo.constant dense<1> : tensor<1xi64>
  %c2 = stablehlo.constant dense<2> : tensor<1xi64>
  %c4 = stablehlo.constant dense<4> : tensor<1xi64>
  %c8 = stablehlo.constant dense<8> : tensor<1xi64>
  %i0 = stablehlo.constant dense<0> : tensor<i64>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %no = stablehlo.constant dense<false> : tensor<i1>
  %n4 = stablehlo.concatenate %n1, %c4, dim = 0 : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
  %twice = stablehlo.add %n1, %n1 : tensor<1xi64>
  %n22 = stablehlo.concatenate %n1, %c2, %c2, dim = 0 :
    (tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<3xi64>
  %four = stablehlo.multiply %n1, %c4 : tensor<1xi64>
  %start = stablehlo.constant dense<0> : tensor<2xi64>
  %step = stablehlo.constant dense<1> : tensor<2xi64>
"""


def dynamic_module(
    body: str,
    inputs: Mapping[str, tuple[str, tuple[Dim, ...]]],
    results: Mapping[str, tuple[str, tuple[Dim, ...]]],
    ranges: Mapping[str, Range] | None = None,
) -> DynamicModule:
    """The module whose `@main` has this body.

    Values are given as an element type and sizes, by their names in the body.
    """
    arguments = ", ".join(f"%{name}: {_type(*value)}" for name, value in inputs.items())
    types = ", ".join(_type(*value) for value in results.values())
    returned = ", ".join(f"%{name}" for name in results)
    element, shape = inputs["x"] if "x" in inputs else next(iter(inputs.values()))
    sizes = SIZES.replace("XxELEMENT", _type(element, shape)[7:-1])
    text = f"func.func @main({arguments}) -> ({types}) {{{sizes}{body}\n return {returned} : {types}\n}}"
    with hlo.make_context(), ir.Location.unknown():
        code = hlo.serialize(ir.Module.parse(f"module @m {{ {text} }}"))
    dtypes = hlo._DTYPES  # pyright: ignore[reportPrivateUsage]
    ports = [
        tuple(DynamicPort(name, dtypes[element], sizes) for name, (element, sizes) in side.items())
        for side in (inputs, results)
    ]
    return DynamicModule(code, ports[0], ports[1], ranges or {"s": Range(1, 64), "t": Range(1, 64)})


def twice(size: Dim) -> Dim:
    """Two times a size."""
    return Apply("Mul", (2, size))


def _type(element: str, sizes: tuple[Dim, ...]) -> str:
    return f"tensor<{''.join(f'{size}x' if isinstance(size, int) else '?x' for size in sizes)}{element}>"
