"""The operator of a node in torch, or its scalar function, and the arguments that it writes.

A file names its operators, and a file is untrusted. Only operators that `lowering.ir.allowed` admits,
operators of the user's packages, and functions in the tables here are called.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from lowering.ir import aten
from lowering.ir.allowed import refused_node
from lowering.ir.custom_operators import declared
from lowering.ir.homes import import_home
from lowering.ir.program import Node
from lowering.ir.types import Device, DType, Layout, MemoryFormat
from lowering.targets.aten.kernels import kernel_operator
from lowering.targets.errors import UnknownOperator
from lowering.targets.kernels import kernel_for

# Operators that speak with other processes: only those of a group that this process has joined.
COLLECTIVES = "_c10d_functional"


def _sym_max(a: Any, b: Any) -> Any:
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


def _sym_min(a: Any, b: Any) -> Any:
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and abs(a).bit_length() * max(b, 0) > 4096:
        raise OverflowError(f"{a}**{b} is too large for a size")
    return a**b


def _shift_left(a: int, b: int) -> int:
    if a.bit_length() + b > 4096:
        raise OverflowError(f"{a} << {b} is too large for a size")
    return a << b


_UNARY_MATH = (
    "acos",
    "asin",
    "atan",
    "ceil",
    "cos",
    "cosh",
    "exp",
    "floor",
    "log",
    "log2",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
)

# Functions of Python scalars, by the target's text.
SCALAR: dict[str, Callable[..., Any]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.truediv": operator.truediv,
    "_operator.floordiv": operator.floordiv,
    "_operator.mod": operator.mod,
    "_operator.pow": _power,
    "_operator.neg": operator.neg,
    "_operator.pos": operator.pos,
    "_operator.abs": operator.abs,
    "_operator.eq": operator.eq,
    "_operator.ne": operator.ne,
    "_operator.lt": operator.lt,
    "_operator.le": operator.le,
    "_operator.gt": operator.gt,
    "_operator.ge": operator.ge,
    "_operator.and_": operator.and_,
    "_operator.or_": operator.or_,
    "_operator.xor": operator.xor,
    "_operator.not_": operator.not_,
    "_operator.lshift": _shift_left,
    "_operator.rshift": operator.rshift,
    "_operator.getitem": operator.getitem,
    "math.pow": math.pow,
    **{f"math.{name}": getattr(math, name) for name in _UNARY_MATH},
    **{f"torch._sym_{name}": getattr(math, name) for name in _UNARY_MATH},
    **{f"torch.sym_{name}": getattr(math, name) for name in _UNARY_MATH},
    "builtins.max": max,
    "builtins.min": min,
    "builtins.abs": abs,
    "builtins.round": round,
    "torch.sym_max": _sym_max,
    "torch.sym_min": _sym_min,
    "torch.sym_not": operator.not_,
    "torch.sym_int": math.trunc,
    "torch.sym_float": float,
    "torch.sym_ite": lambda condition, yes, no: yes if condition else no,
}

_IDENTIFIER = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")


def resolve(target: str) -> Any:
    """The torch operator (an OpOverload) of `aten.add.Tensor`, or a KernelOperator. Raises UnknownOperator.

    One that a file may not call is found all the same: for a node of ours (see `Routine`).
    """
    if kernel_for(target) is not None:
        return kernel_operator(target, _registered(*target.split(".")))
    return _resolve(target)


@lru_cache(maxsize=1 << 14)
def _resolve(target: str) -> Any:
    parts = target.split(".")
    known = aten.schema(target) is not None
    if not known and (len(parts) != 3 or not all(_IDENTIFIER.fullmatch(part) for part in parts)):
        raise UnknownOperator(f"{target!r} is not an operator that this version can run on ATen")
    namespace, name, overload = parts
    if namespace == COLLECTIVES and not _in_a_group():
        raise UnknownOperator(
            f"{target} speaks with other processes, and this one is in no group: "
            "call torch.distributed.init_process_group first"
        )
    found = _registered(namespace, name, overload)
    if found is None:
        import_home(namespace)
        found = _registered(namespace, name, overload)
    if found is not None:
        return found
    if namespace in ("aten", "prims"):
        raise UnknownOperator(f"torch {torch.__version__} has no operator {target}")
    if declared(target) is not None:
        raise UnknownOperator(f"{target} has no kernel to run on ATen: register one (bridge.register_kernel)")
    raise UnknownOperator(
        f"custom operator {target} is not registered: import the module that defines it "
        "(on the command line: --import <module>)"
    )


def admit(node: Node) -> None:
    """Raise UnknownOperator for a node of a file that ATen may not run."""
    if (why := refused_node(node)) is not None:
        raise UnknownOperator(why)


def _registered(namespace: str, name: str, overload: str) -> Any:
    try:
        found = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except (AttributeError, RuntimeError):
        return None
    return found if isinstance(found, torch._ops.OpOverload) else None


def _in_a_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def given(node: Node) -> dict[str, Any]:
    """A node's arguments by name, with defaults where the table has the schema."""
    schema = aten.schema(node.target)
    if schema is not None:
        return schema.bind(node.args)
    names = [argument.name for argument in resolve(node.target)._schema.arguments]
    return {argument.name or names[place]: argument.value for place, argument in enumerate(node.args)}


def written(node: Node, op: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Arguments that a call writes, in schema order; and those of them that the operator does not return."""
    schema = aten.schema(node.target)
    if schema is None:
        given = {argument.name for argument in node.args if argument.value is not None}
        names, returned = custom_written(op)
        names = tuple(name for name in names if name in given)
    else:
        names = schema.written(schema.bind(node.args))
        returned = {schema.written_return(index) for index in range(len(schema.returns))}
    return names, tuple(name for name in names if name not in returned)


def custom_written(op: Any) -> tuple[tuple[str, ...], set[str | None]]:
    """Arguments that a registered operator declares as written, and those of them that it returns."""
    results: set[str] = set()
    for result in op._schema.returns:
        results |= result.alias_info.before_set if result.alias_info is not None else set()
    writes = [a for a in op._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    returned: set[str | None] = {a.name for a in writes if a.alias_info.before_set & results}
    return tuple(a.name for a in writes), returned


def constant(value: Any) -> Any:
    """A literal of the IR as torch takes it.

    A recorded device is where the program was exported: here ATen runs on the CPU. `meta` is not a place.
    """
    if isinstance(value, (DType, Layout, MemoryFormat)):
        return getattr(torch, value.value)
    if isinstance(value, Device):
        return torch.device("meta" if value.type == "meta" else "cpu")
    return value
