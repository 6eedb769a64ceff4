"""The door to MLIR: constants of every dtype and size, locations, text, bytecode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.value import Value, array, constant, numpy_dtype

STABLEHLO_DTYPES = [dtype for dtype in DType if dtype is not DType.COMPLEX32]


@pytest.fixture(autouse=True)
def module() -> Iterator[ir.Module]:
    with hlo.make_context(), ir.Location.unknown():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            yield module


def read_back(value: Value) -> str:
    return str(value.ir.owner.attributes["value"]).partition(" : ")[0]


@pytest.mark.parametrize("dtype", STABLEHLO_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,), (2, 0, 3)], ids=str)
def test_constants_of_every_dtype_and_size(module: ir.Module, dtype: DType, shape: tuple[int, ...]) -> None:
    value = array(np.ones(shape, numpy_dtype(dtype)))
    assert (value.dtype, value.shape) == (dtype, shape)
    assert module.operation.verify()
    assert hlo.dtype_of(ir.RankedTensorType(value.ir.type).element_type) is dtype


def test_elements_lie_row_major_whatever_the_strides() -> None:
    data = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert read_back(array(data.T)) == "dense<[[0, 3], [1, 4], [2, 5]]>"
    assert read_back(array(data[:, ::-2])) == "dense<[[2, 0], [5, 3]]>"
    assert read_back(array(np.broadcast_to(np.int32(7), (2, 2)))) == "dense<7>"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([True, False, True], "dense<[true, false, true]>"),
        ([True], "dense<true>"),
        ([False] * 9, "dense<false>"),
        ([], "dense<>"),
    ],
)
def test_bools_are_not_read_as_packed_bits(data: list[bool], text: str) -> None:
    assert read_back(array(np.array(data, bool))) == text


def test_halves_keep_their_bits() -> None:
    value = array(np.array([1.5, float("inf")], numpy_dtype(DType.BFLOAT16)))
    assert read_back(value) == "dense<[1.500000e+00, 0x7F80]>"


def test_no_complex32() -> None:
    with pytest.raises(Unsupported, match="no complex32"):
        constant(0, DType.COMPLEX32)
    half = constant(0, DType.FLOAT16, (2,))
    with pytest.raises(Unsupported, match="StableHLO has no complex<f16>"):
        Value(stablehlo.complex(half.ir, half.ir))


@pytest.mark.parametrize(
    ("name", "frames", "text"),
    [
        ("relu", (), 'loc("relu")'),
        ("relu", (("a.py", 1, "f", ""), ("b.py", 22, "g", "")), 'loc("relu"("b.py":22:0))'),
        ("half a pair \ud800", (("\udfff.py", 3, "f", ""),), 'loc("half a pair ?"("?.py":3:0))'),
    ],
)
def test_locations(name: str, frames: tuple[tuple[str, int, str, str], ...], text: str) -> None:
    assert str(hlo.location(name, frames)) == text


def test_text_with_and_without_locations(module: ir.Module) -> None:
    with hlo.location("one", (("model.py", 3, "forward", ""),)):
        entry = hlo.func.FuncOp("main", ir.FunctionType.get([], []))
        with ir.InsertionPoint(entry.add_entry_block()):
            value = array(np.arange(100))
            hlo.func.ReturnOp([value.ir])
    entry.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([], [value.ir.type]))
    code = hlo.serialize(module)
    assert "model.py" not in hlo.text_of(code)
    assert "99" not in hlo.text_of(code), "large constants are elided"
    assert 'loc("one"' in hlo.text_of(code, locations=True)
    assert '"model.py":3:0' in hlo.text_of(code, locations=True)


def test_a_module_as_it_is_gives_the_same_bytes_and_stays(module: ir.Module) -> None:
    module.operation.attributes["sym_name"] = ir.StringAttr.get("named")
    with hlo.location("one", (("model.py", 3, "forward", ""),)):
        entry = hlo.func.FuncOp("main", ir.FunctionType.get([], []))
        with ir.InsertionPoint(entry.add_entry_block()):
            hlo.func.ReturnOp([array(np.arange(3)).ir])
    result = ir.RankedTensorType.get([3], ir.IntegerType.get_signless(64))
    entry.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([], [result]))
    before = module.operation.get_asm(enable_debug_info=True)
    assert hlo.serialize_as_it_is(module) == hlo.serialize(module)
    assert module.operation.get_asm(enable_debug_info=True) == before
