"""Every kind of argument, and our tables against torch's own schema."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from lowering.frontend.pt2 import arguments, signature, values
from lowering.frontend.pt2.arguments import Scope, read_argument
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.graph import read_graph
from lowering.frontend.pt2.values import TypeReader
from lowering.ir.program import Graph, InputKind, Operator, OutputKind, Ref
from lowering.ir.types import Device, DType, Layout, MemoryFormat, TensorType, contiguous

EMPTY_GRAPH = {"inputs": [], "outputs": [], "nodes": [], "is_single_tensor_return": True}

CASES: dict[str, list[tuple[Any, Any]]] = {
    "as_none": [(True, None)],
    "as_tensor": [({"name": "a"}, Ref("a"))],
    "as_tensors": [([], ()), ([{"name": "a"}, {"name": "b"}], (Ref("a"), Ref("b")))],
    "as_optional_tensor": [({"as_none": True}, None), ({"as_tensor": {"name": "a"}}, Ref("a"))],
    "as_optional_tensors": [([{"as_none": True}, {"as_tensor": {"name": "a"}}], (None, Ref("a")))],
    "as_nested_tensors": [([[{"name": "a"}], []], ((Ref("a"),), ()))],
    "as_int": [(3, 3), (-(1 << 63), -(1 << 63)), ((1 << 64) - 1, (1 << 64) - 1)],
    "as_ints": [([1, -1], (1, -1))],
    "as_int_lists": [([[1], [2, 3]], ((1,), (2, 3)))],
    "as_float": [(0.5, 0.5), (2, 2.0), ("Infinity", math.inf), ("-Infinity", -math.inf)],
    "as_floats": [([0.5, 1.0], (0.5, 1.0))],
    "as_float_lists": [([[0.5], []], ((0.5,), ()))],
    "as_bool": [(True, True)],
    "as_bools": [([True, False], (True, False))],
    "as_string": [("mean", "mean"), ("", "")],
    "as_strings": [(["a", "b"], ("a", "b"))],
    "as_complex": [
        ({"real": 1.0, "imag": -2.0}, 1 - 2j),
        ({"real": "Infinity", "imag": 0.0}, complex("inf")),
    ],
    "as_sym_int": [({"as_name": "a"}, Ref("a")), ({"as_int": 3}, 3)],
    "as_sym_ints": [([{"as_name": "a"}, {"as_int": 3}], (Ref("a"), 3))],
    "as_sym_float": [({"as_name": "a"}, Ref("a")), ({"as_float": 0.5}, 0.5)],
    "as_sym_floats": [([{"as_name": "a"}, {"as_float": 0.5}], (Ref("a"), 0.5))],
    "as_sym_bool": [({"as_name": "a"}, Ref("a")), ({"as_bool": True}, True)],
    "as_sym_bools": [([{"as_name": "a"}, {"as_bool": False}], (Ref("a"), False))],
    "as_scalar_type": [(13, DType.BFLOAT16)],
    "as_memory_format": [(2, MemoryFormat.CHANNELS_LAST)],
    "as_layout": [(7, Layout.STRIDED)],
    "as_device": [({"type": "cuda", "index": 1}, Device("cuda", 1)), ({"type": "cpu"}, Device("cpu"))],
    "as_operator": [("torch.ops.aten.add.Tensor", Operator("aten.add.Tensor"))],
    "as_custom_obj": [({"name": "a", "class_fqn": "c"}, Ref("a"))],
    "as_graph": [({"name": "g", "graph": EMPTY_GRAPH}, Graph((), (), (), {}, "g", True))],
    "as_string_to_argument": [({"k": {"as_int": 1}, "l": {"as_ints": [2]}}, {"k": 1, "l": (2,)})],
}
ROWS = [(member, *case) for member, cases in CASES.items() for case in cases]


def scope() -> Scope:
    result = Scope(TypeReader(), 0, dict.fromkeys("ab", contiguous(DType.FLOAT32, ())), read_graph)
    result.define("a")
    result.define("b")
    return result


@pytest.mark.parametrize(("member", "value", "expected"), ROWS)
def test_argument(member: str, value: Any, expected: Any):
    result = read_argument(scope(), {member: value})
    assert result == expected
    assert type(result) is type(expected)


def test_not_a_number():
    result = read_argument(scope(), {"as_float": "NaN"})
    assert isinstance(result, float)
    assert math.isnan(result)


@pytest.mark.parametrize("member", [member for member in CASES if member != "as_none"])
@pytest.mark.parametrize("value", [None, {"x": []}, [[["?"]]], object()])
def test_argument_of_another_type(member: str, value: Any):
    with pytest.raises(Malformed) as caught:
        read_argument(scope(), {member: value})
    assert caught.value.where.startswith(member)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("as_int", True),
        ("as_int", 1.0),
        ("as_int", 1 << 64),
        ("as_float", "1.0"),
        ("as_float", True),
        ("as_bool", 1),
        ("as_ints", [1, 2.0]),
        ("as_sym_int", {"as_float": 1.0}),
        ("as_sym_int", {"as_name": "c"}),
        ("as_tensor", {"name": ""}),
        ("as_optional_tensor", {"as_int": 1}),
        ("as_device", {"type": "cuda", "index": -1}),
    ],
)
def test_nothing_is_converted(member: str, value: Any):
    with pytest.raises(Malformed):
        read_argument(scope(), {member: value})


def test_tensor_types_are_exact():
    meta = {
        "dtype": 6,
        "sizes": [{"as_int": 2}, {"as_int": 3}],
        "strides": [{"as_int": 1}, {"as_int": 2}],
        "storage_offset": {"as_int": 5},
        "device": {"type": "cuda", "index": 0},
        "layout": 7,
        "requires_grad": True,
    }
    expected = TensorType(
        DType.FLOAT16, (2, 3), (1, 2), 5, Device("cuda", 0), Layout.STRIDED, requires_grad=True
    )
    assert TypeReader().tensor(meta) == expected


# ------------------------------------------------------------------------------------------- torch's schema


@pytest.fixture(scope="module")
def schema() -> Any:
    pytest.importorskip("torch")
    from torch._export.serde import schema

    return schema


def members(union: Any) -> set[str]:
    return {field.name for field in fields(union)}


def test_unions_are_complete(schema: Any):
    assert set(arguments._READERS) == set(CASES) == members(schema.Argument)
    assert set(signature._INPUTS) | {"user_input", "constant_input"} == members(schema.InputSpec)
    assert set(signature._OUTPUTS) == members(schema.OutputSpec)
    assert set(signature._LITERALS) == members(schema.ConstantValue)
    assert {kind for kind, _ in signature._OUTPUTS.values()} == set(OutputKind)
    assert {kind for kind, _ in signature._INPUTS.values()} == set(InputKind) - {
        InputKind.USER,
        InputKind.LITERAL,
        # No exporter gives it: a pass does.
        InputKind.ADAPTER,
    }


def test_codes_are_torchs(schema: Any):
    import torch
    from torch._export.serde import serialize

    dtypes = {int(code): str(dtype) for dtype, code in serialize._TORCH_TO_SERIALIZE_DTYPE.items()}
    assert {code: f"torch.{dtype}" for code, dtype in values.DTYPES.items()} == dtypes
    layouts = {int(code): str(layout) for layout, code in serialize._TORCH_TO_SERIALIZE_LAYOUT.items()}
    assert {code: f"torch.{layout.value}" for code, layout in values.LAYOUTS.items()} == layouts
    formats = {int(code): str(f) for f, code in serialize._TORCH_TO_SERIALIZE_MEMORY_FORMAT.items()}
    assert {code: f"torch.{format_.value}" for code, format_ in values.MEMORY_FORMATS.items()} == formats
    assert all(getattr(torch, dtype.value).itemsize == dtype.itemsize for dtype in values.DTYPES.values())
    assert set(values.DTYPES.values()) == set(DType)


def test_the_fields_that_are_read_exist(schema: Any):
    for cls, names in (
        (schema.Graph, "inputs outputs nodes tensor_values sym_int_values sym_bool_values sym_float_values "
         "custom_obj_values is_single_tensor_return"),
        (schema.Node, "target inputs outputs metadata name"),
        (schema.NamedArgument, "name arg kind"),
        (schema.TensorMeta, "dtype sizes requires_grad device strides storage_offset layout"),
        (schema.PayloadMeta, "path_name use_pickle tensor_meta"),
        (schema.ModuleCallSignature, "in_spec out_spec forward_arg_names"),
        (schema.ExportedProgram, "graph_module range_constraints schema_version torch_version guards_code"),
    ):  # fmt: skip
        assert set(names.split()) <= members(cls), cls
    assert schema.SCHEMA_VERSION[0] == 8
