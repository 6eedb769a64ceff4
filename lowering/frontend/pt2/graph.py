"""torch's `Graph` and `Node` to the IR's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lowering.frontend.pt2.arguments import Scope, bound_name, read_argument, strip_target
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import (
    as_boolean,
    as_integer,
    as_name,
    as_record,
    as_text,
    each,
    each_entry,
    get,
    get_optional,
    variant,
)
from lowering.frontend.pt2.values import TypeReader
from lowering.ir.location import NO_LOCATION, Location
from lowering.ir.program import Arg, Argument, Graph, Node, Output
from lowering.ir.types import ObjectType, ValueType

# How deep branches of branches may be; bounds our own recursion.
MAX_GRAPH_DEPTH = 32

# torch.export's ArgumentKind
KEYWORD = 2

LIST_OUTPUTS = frozenset(
    ("as_tensors", "as_optional_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools")
)


def read_graph(types: TypeReader, graph: Any, name: str = "main", depth: int = 0) -> Graph:
    """A graph and all that is nested in it. Every use is of a value defined before it, and typed."""
    if depth > MAX_GRAPH_DEPTH:
        raise Malformed(f"graphs are nested more than {MAX_GRAPH_DEPTH} deep")
    scope = Scope(types, depth, read_values(types, graph), read_graph)
    inputs = get(graph, "inputs", lambda value: each(value, lambda item: read_input(scope, item)))
    nodes = get(graph, "nodes", lambda value: read_nodes(scope, value))
    outputs = get(graph, "outputs", lambda value: each(value, lambda item: read_argument(scope, item)))
    return Graph(
        inputs,
        outputs,
        nodes,
        # A name that nothing defines is the exporter's bookkeeping, and not a value of this graph.
        {key: type_ for key, type_ in scope.values.items() if key in scope.defined},
        name,
        get_optional(graph, "is_single_tensor_return", as_boolean, False),
    )


def read_values(types: TypeReader, graph: Any) -> dict[str, ValueType]:
    """The type of every value, from the graph's tables."""
    values: dict[str, ValueType] = {}
    for table, read in (
        ("tensor_values", types.tensor),
        ("sym_int_values", types.sym_int),
        ("sym_bool_values", types.sym_bool),
        ("sym_float_values", types.sym_float),
        ("custom_obj_values", read_object),
    ):
        reader: Callable[[Any], ValueType] = read
        for key, type_ in get_optional(graph, table, lambda v, r=reader: each_entry(v, r), {}).items():
            if not key or key in values:
                raise Malformed(f"the value {key!r} has two types", table)
            values[key] = type_
    return values


def read_object(value: Any) -> ObjectType:
    return ObjectType(get(value, "class_fqn", as_text))


def read_input(scope: Scope, value: Any) -> Arg:
    """A value, which begins to exist here, or the literal that an input was specialised to."""
    name = bound_name(value)
    return read_argument(scope, value) if name is None else scope.define(name)


def read_nodes(scope: Scope, values: Any) -> tuple[Node, ...]:
    locations: dict[tuple[str, str], Location] = {}
    nodes: list[Node] = []

    def read(value: Any) -> Node:
        target = strip_target(get(value, "target", as_name))
        args = get(value, "inputs", lambda inputs: each(inputs, lambda item: read_named(scope, item)))
        outputs = get(value, "outputs", lambda items: each(items, lambda item: read_output(scope, item)))
        location = get_optional(value, "metadata", lambda data: read_location(locations, data), NO_LOCATION)
        return Node(get_optional(value, "name", as_name, ""), target, args, outputs, location)

    nodes.extend(each(values, read))
    return name_nodes(nodes, scope)


def read_named(scope: Scope, value: Any) -> Argument:
    """A `NamedArgument`: as in the operator's schema; unnamed for higher-order operators."""
    record = as_record(value)
    try:
        argument = read_argument(scope, record["arg"])
        return Argument(as_text(record["name"]), argument, record.get("kind") == KEYWORD)
    except KeyError as missing:
        raise Malformed(f"the field {missing} is missing") from None
    except Malformed as problem:
        raise problem.within("arg") from None


def read_output(scope: Scope, value: Any) -> Output:
    """The definitions of a node: a value, a list of values, or nothing."""
    tag = variant(value)[0]
    if tag == "as_none":
        return None
    if tag in LIST_OUTPUTS:
        return get(value, tag, lambda items: each(items, lambda item: _define_item(scope, tag, item)))
    name = bound_name(value)
    if name is None:
        raise Malformed(f"a node's output is a value, a list of values or nothing, not {tag!r}")
    return scope.define(name).name


def _define_item(scope: Scope, tag: str, item: Any) -> str | None:
    if tag == "as_tensors":
        return scope.define(get(item, "name", as_name)).name
    kind, content = variant(item)
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return scope.define(get(content, "name", as_name)).name
    if kind == "as_name":
        return scope.define(as_name(content)).name
    raise Malformed(f"a node's output is a value or nothing, not {kind!r}")


def read_location(known: dict[tuple[str, str], Location], metadata: Any) -> Location:
    """The stack trace, kept as text, and the path of the innermost module. Neighbours share theirs."""
    key = (
        get_optional(metadata, "stack_trace", as_text, ""),
        get_optional(metadata, "nn_module_stack", as_text, ""),
    )
    location = known.get(key)
    if location is None:
        location = known[key] = Location(key[0], module_path(key[1]))
    return location


def module_path(stack: str) -> str:
    """The innermost module of `key,path,class;key,path,class`."""
    parts = stack.rpartition(";")[2].split(",")
    return ",".join(parts[1:-1]) if len(parts) > 2 else ""


def name_nodes(nodes: list[Node], scope: Scope) -> tuple[Node, ...]:
    """Give names to nodes written before schema 8.20: as torch's own, if they define one value or several."""
    taken = {node.name for node in nodes if node.name}
    if len(taken) < sum(1 for node in nodes if node.name):
        raise Malformed("two nodes have the same name", "nodes")
    taken |= scope.values.keys()
    named: list[Node] = []
    for node in nodes:
        name, only = node.name, node.outputs[0] if len(node.outputs) == 1 else None
        # torch calls the only element of a tuple `getitem`, and the node by its operator.
        if not name and isinstance(only, str) and not only.startswith("getitem"):
            name = only
        elif not name:
            name = _fresh(node, taken)
            taken.add(name)
        named.append(node if node.name else Node(name, node.target, node.args, node.outputs, node.location))
    return tuple(named)


def _fresh(node: Node, taken: set[str]) -> str:
    """`chunk`, `topk_1`, `_assert_scalar_default_2`."""
    parts = node.target.split(".")
    if node.outputs and len(parts) > 2:
        parts.pop()
    base = re.sub(r"\W+", "_", "_".join(parts[1:] or parts))
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


def read_integer_or_none(value: Any) -> int | None:
    """A bound of a range; infinity, which some versions write as a float, is none."""
    if value is None or value in ("Infinity", "-Infinity"):
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return as_integer(value)
