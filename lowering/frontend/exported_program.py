"""The in-memory way in: a `torch.export.ExportedProgram` to a `Program` and its `Weights`.

torch's graph serialiser gives the document that a `.pt2` file holds, without copying a weight. The same code
reads it. Only this module calls the serialiser, which promises nothing to its callers.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from lowering.frontend.errors import ExportError, root_cause
from lowering.frontend.exported import Exported
from lowering.frontend.pipeline import EXPORT
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.schema import read_program
from lowering.frontend.pt2.weights import check_weights
from lowering.frontend.state_dicts.memory import weights_in_memory
from lowering.host.tracing import TRACING
from lowering.ir.facts.numbers import OF_NUMBERS
from lowering.ir.program import Program
from lowering.ir.tree import NodeType, TreeSpec, namedtuple_type
from lowering.ir.tree_spec import NAMEDTUPLE, STANDARD
from lowering.ir.weights import Weights
from lowering.passes.errors import PassError
from lowering.passes.pipelines import IMPORT

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def export(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """Export a module with example inputs, by `torch.export.export`, not strict. torch's own errors pass."""
    import torch

    with TRACING:
        return torch.export.export(module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False)


def from_exported_program(exported: ExportedProgram) -> tuple[Program, Weights]:
    """Translate a program. Its weights are views of the module's own memory, read-only, never copied.

    Weights on another device than the CPU are copied, each time that they are opened. Raises `ExportError`.
    """
    _refuse_generators(exported)
    given = EXPORT.run(Exported(exported, exported.graph_module))
    try:
        program = IMPORT.run(read_program(_document(given)))
        weights = _weights(given.program)
        check_weights(program, weights)
    except (Malformed, PassError) as problem:
        raise ExportError(f"cannot translate the exported program: {problem}") from None
    return program, weights


def _refuse_generators(exported: torch.export.ExportedProgram) -> None:
    import torch

    if any(isinstance(value, torch.Generator) for value in exported.constants.values()):
        raise ExportError(
            "the program draws from a torch.Generator of its own, whose state is not part of it: draw from "
            "torch's default generator, which torch.manual_seed seeds, and export again"
        )


def registered_types(*specs: TreeSpec) -> dict[str, NodeType]:
    """The container types of these specs that are registered with torch in this process, as the registry
    that `lowering.ir.tree` takes. Types that are not registered are left out.
    """

    found: dict[str, NodeType] = {}
    for spec in specs:
        name = spec.context if spec.type == NAMEDTUPLE else spec.type
        if spec.type == NAMEDTUPLE and (name or "").startswith(_RETURN_TYPES):
            found[name or ""] = _return_type(name or "")
            continue
        cls = _class_named(name or "")
        if name is not None and cls is not None and (spec.type == NAMEDTUPLE or name not in STANDARD):
            found[name] = namedtuple_type(cls) if spec.type == NAMEDTUPLE else _registered_type(cls)
        found |= registered_types(*spec.children)
    return found


def _class_named(name: str) -> type | None:
    """The class that is registered by this name, if it is in this process.

    A package that was imported may bring its modules only when they are asked for, and the class with them.
    """
    from torch.utils import _pytree as pytree

    if name not in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE:
        _ask_for(name)
    named = pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.get(name)
    named = named or _NAMEDTUPLES.get(name)
    return named or next((cls for cls in pytree.SUPPORTED_NODES if _own_name(cls) == name), None)


def _ask_for(name: str) -> None:
    """Have an imported package bring what it has under a dotted name. Nothing new is imported by name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        found: Any = sys.modules.get(".".join(parts[:length]))
        if found is not None:
            with suppress(Exception):  # it is not there, or its package cannot bring it
                for part in parts[length:]:
                    found = getattr(found, part)
            return


def _own_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


# The classes of the namedtuples that programs in memory had, by name: torch registers none by itself.
_NAMEDTUPLES: dict[str, type] = {}


@contextmanager
def _all_named(spec: Any) -> Iterator[None]:
    """While it lasts, torch can write down the types of a spec that have no registered name, by their own."""
    from torch.utils import _pytree as pytree

    types, classes = pytree.SUPPORTED_SERIALIZED_TYPES, pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE
    nameless = pytree.NO_SERIALIZED_TYPE_NAME_FOUND
    before = types.copy(), classes.copy()
    try:
        for cls in _classes_of(spec):
            entry = types.get(cls) or pytree._SerializeNodeDef(cls, nameless, None, None)
            name = _own_name(cls)
            if entry.serialized_type_name == nameless and name not in classes:
                types[cls] = entry._replace(serialized_type_name=name)
                classes[name] = cls
                if issubclass(cls, tuple):
                    _NAMEDTUPLES[name] = cls
        yield
    finally:
        for registry, content in zip((types, classes), before, strict=True):
            registry.clear()
            registry.update(content)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _classes_of(spec: Any) -> Iterator[type]:
    """The classes of a spec's containers that are not Python's own; a namedtuple's is its context."""
    if spec.is_leaf():
        return
    cls = spec.context if isinstance(spec.context, type) else spec.type
    if _own_name(cls) not in STANDARD and cls.__module__ != "torch.return_types":
        yield cls
    for child in spec.children():
        yield from _classes_of(child)


# The result types of torch.sort, torch.max and others; torch's own serialiser has no names for these.
_RETURN_TYPES = "torch.return_types."


def _return_type(name: str) -> NodeType:
    import torch

    cls = getattr(torch.return_types, name.removeprefix(_RETURN_TYPES))
    return NodeType(cls, lambda value: (tuple(value), None), lambda children, _: cls(children))


def _name_return_types() -> None:
    """Give torch's return types the names by which its serialiser may write them down."""
    import torch
    from torch.utils import _pytree as pytree

    for cls, serialization in list(pytree.SUPPORTED_SERIALIZED_TYPES.items()):
        if (
            cls.__module__ == "torch.return_types"
            and cls not in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.values()
        ):
            name = f"{_RETURN_TYPES}{cls.__name__}"
            assert getattr(torch.return_types, cls.__name__) is cls
            pytree.SUPPORTED_SERIALIZED_TYPES[cls] = serialization._replace(serialized_type_name=name)
            pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE[name] = cls


def _as_namedtuples(spec: Any, fields: dict[str, Any]) -> Any:
    """Spec JSON with torch's return types as the namedtuples that they are; notes their `fields`."""
    import torch

    if isinstance(spec, list):
        return [_as_namedtuples(item, fields) for item in spec]
    if not isinstance(spec, dict):
        return spec
    name = spec["type"] or ""
    children = _as_namedtuples(spec["children_spec"], fields)
    if not name.startswith(_RETURN_TYPES):
        return {**spec, "children_spec": children}
    cls = getattr(torch.return_types, name.removeprefix(_RETURN_TYPES))
    fields[name] = {"field_names": list(cls.__match_args__)}
    return {"type": NAMEDTUPLE, "context": name, "children_spec": children}


def _registered_type(cls: type) -> NodeType:
    from torch.utils import _pytree as pytree

    flatten, unflatten = pytree.SUPPORTED_NODES[cls].flatten_fn, pytree.SUPPORTED_NODES[cls].unflatten_fn
    serialization = pytree.SUPPORTED_SERIALIZED_TYPES[cls]
    dump = serialization.to_dumpable_context or json.dumps
    load = serialization.from_dumpable_context or json.loads

    def take_apart(value: Any) -> tuple[Any, Any]:
        children, context = flatten(value)
        return children, dump(context)

    return NodeType(cls, take_apart, lambda children, context: unflatten(children, load(context)))


def _document(given: Exported) -> dict[str, Any]:
    """The graph and the contract around it, as torch.export.save would write them."""
    import torch
    from torch._export.serde import schema
    from torch._export.serde.serialize import (
        GraphModuleSerializer,
        SerializeError,
        serialize_range_constraints,
    )

    exported = given.program
    serializer = GraphModuleSerializer(exported.graph_signature, [])
    _teach_bools(serializer)
    _teach_numbers(serializer)
    try:
        module = _plain(serializer.serialize(given.module))
    except (SerializeError, AssertionError, KeyError, AttributeError) as problem:
        raise ExportError(f"torch cannot serialise the graph: {root_cause(problem)}") from None
    _name_return_types()
    specs = {}
    fields: dict[str, Any] = {}
    for name in ("in_spec", "out_spec"):
        try:
            spec = getattr(exported.call_spec, name)
            with _all_named(spec):
                text = serializer.serialize_treespec(spec)
            specs[name] = json.dumps(_as_namedtuples(json.loads(text), fields))
        except (NotImplementedError, TypeError) as problem:
            raise ExportError(
                f"the program's {name} has a container that torch cannot write down: register it with a "
                f"serialized_type_name before exporting ({problem})"
            ) from None
    module["module_call_graph"] = [
        {"fqn": "", "signature": {**specs, "forward_arg_names": _argument_names(exported)}}
    ]
    module["treespec_namedtuple_fields"] = _plain(serializer.treespec_namedtuple_fields) | fields
    major, minor = schema.SCHEMA_VERSION
    return {
        "graph_module": module,
        "range_constraints": _plain(serialize_range_constraints(exported.range_constraints)),
        "guards_code": list(getattr(exported, "_guards_code", ())),
        "schema_version": {"major": major, "minor": minor},
        "torch_version": str(torch.__version__),
    }


def _teach_bools(serializer: Any) -> None:
    """torch's serialiser knows no truth value that is an input or output of a program."""
    from torch._export.serde import schema
    from torch.export import graph_signature

    others = serializer.serialize_argument_spec

    def serialize_argument_spec(spec: Any) -> Any:
        if not isinstance(spec, graph_signature.SymBoolArgument):
            return others(spec)
        return schema.Argument.create(as_sym_bool=schema.SymBoolArgument.create(as_name=spec.name))

    serializer.serialize_argument_spec = serialize_argument_spec


def _teach_numbers(serializer: Any) -> None:
    """torch's serialiser does not know all functions of numbers that torch traces: not `math.floor`."""
    from torch._export.serde import schema, serialize

    others = serializer.serialize_sym_op_inputs

    def serialize_sym_op_inputs(op: Any, args: Any) -> Any:
        if op in serialize._SYM_OPS or serializer.serialize_operator(op) not in OF_NUMBERS:
            return others(op, args)
        names = inspect.signature(op).parameters
        return [
            schema.NamedArgument(
                name=name, arg=serializer.serialize_input(arg), kind=schema.ArgumentKind.POSITIONAL
            )
            for name, arg in zip(names, args, strict=False)
        ]

    serializer.serialize_sym_op_inputs = serialize_sym_op_inputs


def _argument_names(exported: ExportedProgram) -> list[str]:
    for entry in exported.module_call_graph:
        if entry.fqn == "" and entry.signature is not None:
            return list(entry.signature.forward_arg_names or ())
    return []


@cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def _plain(value: Any) -> Any:
    """The serialiser's dataclasses as the JSON they would be written as."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    tag = vars(value).get("_type")
    if tag is not None:
        return {str(tag): _plain(vars(value)[str(tag)])}
    return {name: _plain(vars(value)[name]) for name in _field_names(type(value))}


def _weights(exported: ExportedProgram) -> Weights:
    """Every tensor of the state and the constants."""
    return weights_in_memory({**exported.state_dict, **exported.constants})
