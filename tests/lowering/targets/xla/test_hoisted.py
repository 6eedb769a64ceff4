"""Results of load-time parts: the same key for the same computation of the same weights, and for no other."""

from __future__ import annotations

import numpy as np
import pytest

from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from lowering.targets.xla.hoisted import result_keys

TYPE = "tensor<2x2xf32>"


def load(body: str, results: str, weights: tuple[str, ...] = ("a", "b")) -> Module:
    """A load-time part; `%a` and `%b` are its weights."""
    arguments = ", ".join(f"%{name}: {TYPE}" for name in weights)
    types = ", ".join([TYPE] * len(results.split(",")))
    text = f"func.func public @main({arguments}) -> ({types}) {{ {body} return {results} : {types} }}"
    with hlo.make_context() as context, ir.Location.unknown():
        code = hlo.serialize(ir.Module.parse(text, context))
    return Module(code, tuple(Port(name, DType.FLOAT32, (2, 2), name) for name in weights), (), "load")


def op(name: str, left: str, right: str) -> str:
    return f"%{name} = stablehlo.subtract %{left}, %{right} : {TYPE} "


def key(module: Module) -> str:
    return result_keys(module)[0][0]


def test_the_rest_of_a_module_does_not_matter() -> None:
    alone = load(op("x", "a", "b"), "%x")
    beside = load(op("y", "b", "b") + op("x", "a", "b"), "%x, %y", ("b", "a"))
    assert key(alone) == key(beside)
    assert [places for _, places in result_keys(alone)] == [[0, 1]]
    # In the order of names: `a` is the second input there.
    assert [places for _, places in result_keys(beside)] == [[1, 0], [0]]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (op("x", "b", "a"), "%x"),
        (op("x", "a", "a"), "%x"),
        (op("y", "a", "b") + op("x", "y", "b"), "%x"),
        (f"%x = stablehlo.add %a, %b : {TYPE} ", "%x"),
        (f"%x = stablehlo.constant dense<{np.pi}> : {TYPE} ", "%x"),
        ("", "%a"),
    ],
)
def test_other_computations_have_other_keys(body: str, result: str) -> None:
    assert key(load(body, result)) != key(load(op("x", "a", "b"), "%x"))


def test_attributes_and_regions_matter() -> None:
    def reduced(how: str) -> Module:
        return load(
            "%zero = stablehlo.constant dense<0.0> : tensor<f32> "
            f"%r = stablehlo.reduce(%a init: %zero) applies stablehlo.{how} across dimensions = [0] "
            f": ({TYPE}, tensor<f32>) -> tensor<2xf32> "
            f"%x = stablehlo.broadcast_in_dim %r, dims = [1] : (tensor<2xf32>) -> {TYPE} ",
            "%x",
        )

    def transposed(order: str) -> Module:
        return load(f"%x = stablehlo.transpose %a, dims = [{order}] : ({TYPE}) -> {TYPE} ", "%x")

    assert key(reduced("add")) == key(reduced("add")) != key(reduced("maximum"))
    assert key(transposed("1, 0")) == key(transposed("1, 0")) != key(transposed("0, 1"))
