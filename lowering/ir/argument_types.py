"""Whether an argument is of the type that its operator's schema declares."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lowering.ir.program import Arg, Ref
from lowering.ir.types import Device, DType, Layout, MemoryFormat, SymType, TensorType, ValueType

_LIST = re.compile(r"(.+)\[([0-9]*)\]")

_LITERALS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "SymInt": (int,),
    "bool": (bool,),
    "SymBool": (bool,),
    "float": (int, float),
    "SymFloat": (int, float),
    "Scalar": (int, float, complex),
    "str": (str,),
    "ScalarType": (DType,),
    "Layout": (Layout,),
    "Device": (Device,),
    "MemoryFormat": (MemoryFormat,),
    # torch takes a number for a tensor, as in `x + 1`.
    "Tensor": (int, float, complex),
}
_NUMBERS = frozenset("int SymInt bool SymBool float SymFloat Scalar".split())


def fits(value: Arg, declared: str, values: Mapping[str, ValueType]) -> bool:
    """Whether a schema's type takes a value. `values`: the types of what a `Ref` names.

    A type that is not known here takes anything.
    """
    if declared.endswith("?"):
        return value is None or fits(value, declared[:-1], values)
    listed = _LIST.fullmatch(declared)
    if listed is not None:
        if isinstance(value, tuple):
            return all(fits(item, listed[1], values) for item in value)
        # torch takes one number for a list of a fixed length.
        return bool(listed[2]) and fits(value, listed[1], values)
    literals = _LITERALS.get(declared)
    if literals is None:
        return True
    if isinstance(value, Ref):
        type_ = values.get(value.name)
        wants_number = declared in _NUMBERS and isinstance(type_, SymType)
        return wants_number or (declared == "Tensor" and isinstance(type_, TensorType | SymType))
    return isinstance(value, literals)
