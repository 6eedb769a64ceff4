"""The `@main` of a module: what it is given, and what it gives."""

from __future__ import annotations

from lowering.ir.module import Port
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, SymKind, SymType
from lowering.stablehlo import hlo
from lowering.stablehlo.data_number import DataNumber
from lowering.stablehlo.entry import bound_inputs, close_module, flags, open_module, port_of, result_of
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.value import Value
from tests.lowering.graphs import f32, graph

NUMBER = SymType(SymKind.INT, Symbol("u0"))


def test_numbers_and_tensors_go_through() -> None:
    types = {"x": f32(2), "n": NUMBER}
    ports = [port_of(name, type_, {}, None) for name, type_ in types.items()]
    assert ports == [Port("x", DType.FLOAT32, (2,)), Port("n", DType.INT64, ())]
    with hlo.make_context(), ir.Location.unknown():
        module, entry = open_module("m", ports)
        env = bound_inputs(
            graph(["x", "n"], [], [], types), ["x", "n"], map(Value, entry.entry_block.arguments)
        )
        assert isinstance(env["x"], Value)
        assert type(env["n"]) is DataNumber
        with ir.InsertionPoint(entry.entry_block):
            results = [result_of(env["n"]), result_of(env["x"]), flags([result_of(env["n"]) < 0] * 2)]
        code = close_module(module, entry, results)
    assert "-> (tensor<i64>, tensor<2xf32>, tensor<2xi1>)" in hlo.text_of(code)
