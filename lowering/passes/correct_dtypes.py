"""Dtypes that torch's exporter notes otherwise than eager gives them, put right.

The exporter runs an operator's meta function, which for mixed dtypes may promote where the kernel does not.
Found by comparing the two over torch's operator database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lowering.ir.aten import schema
from lowering.ir.program import Graph, Node, refs_of
from lowering.ir.types import DType, TensorType, ValueType
from lowering.passes.errors import NotFunctional
from lowering.passes.program import graph_pass

# The dtype of each result, or None where the noted one is right, given the types of the arguments.
Dtypes = Callable[[Mapping[str, TensorType]], tuple[DType | None, ...]]


def _of_input(given: Mapping[str, TensorType]) -> tuple[DType | None, ...]:
    """The kernel makes a tensor like its first argument, and computes into that."""
    return (given["self"].dtype,)


def _of_self(given: Mapping[str, TensorType]) -> tuple[DType | None, ...]:
    """A wider `self` decides."""
    own, others = given["self"].dtype, (given["vec1"].dtype, given["vec2"].dtype)
    wider = own.is_floating and all(item.itemsize < own.itemsize for item in others)
    return (own if wider else None,)


def _statistics(given: Mapping[str, TensorType]) -> tuple[DType | None, ...]:
    """Means and deviations have the dtype of weights of float32 beside an input of a half."""
    weight = given.get("weight")
    mixed = given["input"].dtype.is_half and weight is not None and weight.dtype is DType.FLOAT32
    return (None, *((DType.FLOAT32 if mixed else None,) * 2))


def _of_power(given: Mapping[str, TensorType]) -> tuple[DType | None, ...]:
    """2 to a single number of a half is of that half, and multiplies integers."""
    exponent = given["other"]
    own = given["self"].dtype
    counted = own.is_integer or own is DType.BOOL
    return (exponent.dtype if counted and exponent.dtype.is_half and not exponent.rank else None,)


_DTYPES: dict[str, Dtypes] = {
    "aten.huber_loss.default": _of_input,
    "aten.soft_margin_loss.default": _of_input,
    "aten.addr.default": _of_self,
    "aten.ldexp.Tensor": _of_power,
    "aten.native_layer_norm.default": _statistics,
    "aten.native_group_norm.default": _statistics,
    "aten.native_batch_norm.default": _statistics,
    "aten._native_batch_norm_legit.default": _statistics,
    "aten._batch_norm_with_update.default": _statistics,
}


def as_eager(graph: Graph) -> Graph:
    """The graph with eager's dtypes of these operators' results.

    Results that other nodes made from a wrongly noted dtype cannot be corrected without running them. Then
    NotFunctional is raised, and the program runs as eager does.
    """
    values: dict[str, ValueType] = dict(graph.values)
    wrong: dict[str, tuple[Node, DType]] = {}
    for node in graph.nodes:
        for name in node.refs():
            if name in wrong:
                maker, dtype = wrong[name]
                noted = graph.values[name]
                assert isinstance(noted, TensorType)
                raise NotFunctional(
                    f"{maker.name} gives {dtype} where the exporter noted {noted.dtype}: cast its arguments "
                    "to one dtype",
                    node,
                )
        for name, dtype in _eager_dtypes(node, values):
            noted = values.get(name)
            if isinstance(noted, TensorType) and noted.dtype is not dtype:
                values[name] = replace(noted, dtype=dtype)
                wrong[name] = node, dtype
    return replace(graph, values=values) if wrong else graph


CORRECT_DTYPES = graph_pass(
    "correct-dtypes",
    as_eager,
    "Give results the dtype of eager's kernel where the exporter noted another one.",
    required=True,
)


def _eager_dtypes(node: Node, values: Mapping[str, ValueType]) -> list[tuple[str, DType]]:
    rule, known = _DTYPES.get(node.target), schema(node.target)
    if rule is None or known is None:
        return []
    bound: dict[str, Any] = known.bind(node.args)
    types = {name: values.get(next(refs_of(value), "")) for name, value in bound.items()}
    dtypes = rule({name: type_ for name, type_ in types.items() if isinstance(type_, TensorType)})
    pairs = zip(node.outputs, dtypes, strict=False)
    return [(name, dtype) for name, dtype in pairs if isinstance(name, str) and dtype is not None]
