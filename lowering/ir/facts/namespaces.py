"""The namespace of an operator, and the common name of its overloads."""

from __future__ import annotations

# Functions of Python numbers: they take no tensor and write nothing.
_PYTHON = frozenset({"_operator", "math", "torch", "builtins"})
_HIGHER_ORDER = "higher_order"
_TENSORS = frozenset({"aten", "prims"})


def namespace_of(target: str) -> str:
    """`aten.add.Tensor` -> `aten`."""
    return target.partition(".")[0]


def is_python(target: str) -> bool:
    """Whether a target is a function of Python numbers, such as `_operator.add` or `torch.sym_max`."""
    return namespace_of(target) in _PYTHON


def is_higher_order(target: str) -> bool:
    """Whether a target is an operator that takes graphs, such as `higher_order.cond`."""
    return namespace_of(target) == _HIGHER_ORDER


def is_aten(target: str) -> bool:
    """Whether a target is an overload of ATen."""
    return namespace_of(target) == "aten"


def is_torchs(target: str) -> bool:
    """Whether torch itself defines a target; packages register the others."""
    return namespace_of(target) in _TENSORS or is_python(target) or is_higher_order(target)


def has_schema(target: str) -> bool:
    """Whether an operator is of a kind that torch registers with a schema."""
    return not is_python(target) and not is_higher_order(target)


def base_name(target: str) -> str:
    """`aten.index_copy_.default` -> `index_copy`: one name for all overloads, in place or not."""
    name = target.split(".")[1] if "." in target else target
    return name if name.endswith("__") else name.removesuffix("_")
