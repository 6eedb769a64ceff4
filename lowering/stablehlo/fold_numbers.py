"""Numbers and tables that follow from constants, as constants.

Rules compute them of sizes, which are known by then. Of plain sizes, NumPy computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from lowering.stablehlo.hlo import dense, dtype_of, ir, stablehlo
from lowering.stablehlo.value import numpy_dtype

# Larger tables stay computations.
_MOST = 1 << 16


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers are divided towards zero."""
    if np.issubdtype(a.dtype, np.floating):
        return a / b
    return np.where(b == 0, 0, np.sign(a) * np.sign(b) * (np.abs(a) // np.maximum(np.abs(b), 1)))


# Each rounds as the module does.
_EXACT: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": _quotient,
    "sqrt": np.sqrt,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor": np.floor,
    "abs": np.abs,
    "select": np.where,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
}
_COMPARED = {"EQ": np.equal, "NE": np.not_equal, "LT": np.less, "LE": np.less_equal, "GT": np.greater,
             "GE": np.greater_equal}  # fmt: skip

# These have no operands.
_SOURCES = frozenset({"constant", "iota"})

Known = dict[ir.Value, np.ndarray]


def fold_numbers(block: ir.Block) -> None:
    """Replace floating-point numbers that follow from constants, and what is made of them, in place."""
    known: Known = {}
    floats: set[ir.Value] = set()
    for op in list(block.operations):
        if len(op.results) != 1 or not isinstance(op.results[0].type, ir.RankedTensorType):
            continue
        found = _found(op.operation, known)
        if found is not None:
            known[op.results[0]] = found
            parts = [op.results[0], *op.operands]
            if any(part in floats or _is_floating(part) for part in parts):
                floats.add(op.results[0])
    for value in floats:
        owner: Any = value.owner
        if owner.name not in _SHORT and any(_reads(use.owner, known) for use in value.uses):
            with ir.InsertionPoint(owner), owner.location:
                made = stablehlo.constant(dense(known[value], ir.RankedTensorType(value.type)))
            value.replace_all_uses_with(made)


# These say as much as a constant of their elements, and are shorter.
_SHORT = ("stablehlo.constant", "stablehlo.broadcast_in_dim")


def _reads(op: Any, known: Known) -> bool:
    return op.name in _SHORT or not op.results or op.results[0] not in known


def _is_floating(value: ir.Value) -> bool:
    return isinstance(ir.RankedTensorType(value.type).element_type, ir.FloatType)


def _found(op: ir.Operation, known: Known) -> np.ndarray | None:
    """The elements of an operation's result; None where they do not follow from constants."""
    name = op.name.removeprefix("stablehlo.")
    operands = list(op.operands)
    # Most operations end here: they read an argument, or what follows from one.
    if name not in _SOURCES and not (operands and all(operand in known for operand in operands)):
        return None
    type_ = ir.RankedTensorType(op.results[0].type)
    if not type_.has_static_shape or not isinstance(type_.element_type, ir.FloatType | ir.IntegerType):
        return None
    dtype, shape = numpy_dtype(dtype_of(type_.element_type)), tuple(type_.shape)
    if prod(shape) > _MOST or dtype.kind not in "fib":
        return None
    if name == "constant":
        return _constant(ir.DenseElementsAttr(op.attributes["value"]), dtype, shape)
    if name == "iota":
        along = [1] * len(shape)
        axis = ir.IntegerAttr(op.attributes["iota_dimension"]).value
        along[axis] = shape[axis]
        return np.broadcast_to(np.arange(shape[axis]).astype(dtype).reshape(along), shape)
    parts = [known[operand] for operand in operands]
    with np.errstate(all="ignore"):
        return _combined(op, name, parts, dtype, shape)


def _combined(
    op: ir.Operation, name: str, parts: list[np.ndarray], dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray | None:
    if name == "convert":
        return parts[0].astype(dtype) if dtype.kind != "b" else None
    if name == "reshape":
        return parts[0].reshape(shape)
    if name == "broadcast_in_dim":
        along = [1] * len(shape)
        for axis, to in enumerate(ir.DenseI64ArrayAttr(op.attributes["broadcast_dimensions"])):
            along[to] = parts[0].shape[axis]
        return np.broadcast_to(parts[0].reshape(along), shape)
    if name == "compare":
        direction = str(op.attributes["comparison_direction"]).split()[-1].rstrip(">")
        return _COMPARED[direction](*parts)
    combine = _EXACT.get(name)
    return None if combine is None or dtype.kind == "b" else np.asarray(combine(*parts), dtype)


def _constant(value: ir.DenseElementsAttr, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray | None:
    if value.is_splat:
        kind = ir.FloatAttr if dtype.kind == "f" else ir.IntegerAttr
        return np.full(shape, kind(value.get_splat_value()).value, dtype)
    return None if dtype.kind == "b" else np.array(value, dtype).reshape(shape)
