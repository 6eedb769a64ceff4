"""Arguments: every member of torch's `Argument` union to the IR's `Arg`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import (
    as_boolean,
    as_float,
    as_integer,
    as_name,
    as_text,
    each,
    each_entry,
    get,
    show,
    variant,
)
from lowering.frontend.pt2.values import TypeReader, read_device, read_dtype, read_layout, read_memory_format
from lowering.ir.program import Arg, Graph, Operator, Ref
from lowering.ir.types import ValueType

TARGET_PREFIX = "torch.ops."


class Scope:
    """The values of one graph while it is read: types are known from the start, definitions come in order."""

    def __init__(
        self, types: TypeReader, depth: int, values: dict[str, ValueType], read_graph: GraphReader
    ) -> None:
        self.types = types
        self.depth = depth
        self.values = values
        self.defined: dict[str, Ref] = {}
        self._read_graph = read_graph

    def define(self, name: str) -> Ref:
        """Open the life of a value. It has a type and no earlier definition."""
        if name not in self.values:
            raise Malformed(f"the value {name!r} has no type: it is missing in the graph's values")
        if name in self.defined:
            raise Malformed(f"the value {name!r} is defined twice")
        ref = self.defined[name] = Ref(name)
        return ref

    def use(self, name: str) -> Ref:
        ref = self.defined.get(name)
        if ref is None:
            raise Malformed(f"the value {name!r} is used, but nothing before has defined it")
        return ref

    def nested(self, name: str, graph: Any) -> Graph:
        return self._read_graph(self.types, graph, name, self.depth + 1)


GraphReader = Callable[[TypeReader, Any, str, int], Graph]


def strip_target(target: str) -> str:
    """`torch.ops.aten.linear.default` is `aten.linear.default` to us; other targets are as they are."""
    return target.removeprefix(TARGET_PREFIX)


def read_argument(scope: Scope, value: Any) -> Arg:
    """One `Argument`, its names resolved in `scope`."""
    tag, content = variant(value)
    reader = _READERS.get(tag)
    if reader is None:
        raise Malformed(f"unknown kind of argument {show(tag)}: the file's schema is newer than this reader")
    try:
        return reader(scope, content)
    except Malformed as problem:
        raise problem.within(tag) from None


def _tensor(scope: Scope, value: Any) -> Ref:
    return scope.use(get(value, "name", as_name))


def _symbolic(literal: str, read: Callable[[Any], Any]) -> Callable[[Scope, Any], Arg]:
    """A `SymIntArgument` and its like: the name of a value, or a literal."""

    def read_symbolic(scope: Scope, value: Any) -> Arg:
        tag, content = variant(value)
        if tag == "as_name":
            return scope.use(as_name(content))
        if tag != literal:
            raise Malformed(f"expected as_name or {literal}, got {tag!r}")
        return read(content)

    return read_symbolic


def _optional_tensor(scope: Scope, value: Any) -> Ref | None:
    tag, content = variant(value)
    if tag == "as_none":
        return None
    if tag != "as_tensor":
        raise Malformed(f"expected as_tensor or as_none, got {tag!r}")
    return _tensor(scope, content)


def _complex(_: Scope, value: Any) -> complex:
    return complex(get(value, "real", as_float), get(value, "imag", as_float))


def _graph(scope: Scope, value: Any) -> Graph:
    name = get(value, "name", as_name)
    return get(value, "graph", lambda graph: scope.nested(name, graph))


def _literal(read: Callable[[Any], Arg]) -> Callable[[Scope, Any], Arg]:
    return lambda _, value: read(value)


def _list_of(read: Callable[[Scope, Any], Arg]) -> Callable[[Scope, Any], Arg]:
    return lambda scope, value: each(value, lambda item: read(scope, item))


def _string_to_argument(scope: Scope, value: Any) -> dict[str, Arg]:
    return each_entry(value, lambda item: read_argument(scope, item))


_int = _literal(as_integer)
_float = _literal(as_float)
_sym_int = _symbolic("as_int", as_integer)
_sym_float = _symbolic("as_float", as_float)
_sym_bool = _symbolic("as_bool", as_boolean)

_READERS: dict[str, Callable[[Scope, Any], Arg]] = {
    "as_none": lambda _, value: None,
    "as_tensor": _tensor,
    "as_tensors": _list_of(_tensor),
    "as_optional_tensor": _optional_tensor,
    "as_optional_tensors": _list_of(_optional_tensor),
    "as_nested_tensors": _list_of(_list_of(_tensor)),
    "as_int": _int,
    "as_ints": _list_of(_int),
    "as_int_lists": _list_of(_list_of(_int)),
    "as_float": _float,
    "as_floats": _list_of(_float),
    "as_float_lists": _list_of(_list_of(_float)),
    "as_bool": _literal(as_boolean),
    "as_bools": _list_of(_literal(as_boolean)),
    "as_string": _literal(as_text),
    "as_strings": _list_of(_literal(as_text)),
    "as_complex": _complex,
    "as_sym_int": _sym_int,
    "as_sym_ints": _list_of(_sym_int),
    "as_sym_float": _sym_float,
    "as_sym_floats": _list_of(_sym_float),
    "as_sym_bool": _sym_bool,
    "as_sym_bools": _list_of(_sym_bool),
    "as_scalar_type": _literal(read_dtype),
    "as_memory_format": _literal(read_memory_format),
    "as_layout": _literal(read_layout),
    "as_device": _literal(read_device),
    "as_operator": lambda _, value: Operator(strip_target(as_name(value))),
    "as_custom_obj": _tensor,
    "as_graph": _graph,
    "as_string_to_argument": _string_to_argument,
}


def bound_name(value: Any) -> str | None:
    """The name that a graph's input or a node's output introduces; None where it is not a single value."""
    tag, content = variant(value)
    if tag in ("as_tensor", "as_custom_obj"):
        return get(content, "name", as_name)
    if tag in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        kind, name = variant(content)
        return as_name(name) if kind == "as_name" else None
    if tag == "as_optional_tensor":
        kind, tensor = variant(content)
        return get(tensor, "name", as_name) if kind == "as_tensor" else None
    return None
