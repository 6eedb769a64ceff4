"""The roles of a program's inputs and outputs: torch's `GraphSignature` to the IR's `Signature`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowering.frontend.pt2.arguments import bound_name
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import (
    as_boolean,
    as_float,
    as_integer,
    as_list,
    as_name,
    as_record,
    as_text,
    each,
    each_entry,
    get,
    get_optional,
    show,
    variant,
)
from lowering.ir.program import Arg, Graph, InputKind, InputSpec, OutputKind, OutputSpec, Ref, Signature
from lowering.ir.tree import TreeSpec, TreeSpecError, parse_spec
from lowering.ir.types import ObjectType

# Member of torch's InputSpec union: its kind, and the field with the name of the weight.
_INPUTS = {
    "parameter": (InputKind.PARAMETER, "parameter_name"),
    "buffer": (InputKind.BUFFER, "buffer_name"),
    "tensor_constant": (InputKind.CONSTANT, "tensor_constant_name"),
    "custom_obj": (InputKind.OBJECT, "custom_obj_name"),
    "token": (InputKind.TOKEN, None),
}

# Member of torch's OutputSpec union: its kind, and the field with the destination.
_OUTPUTS = {
    "user_output": (OutputKind.USER, None),
    "loss_output": (OutputKind.LOSS, None),
    "buffer_mutation": (OutputKind.BUFFER_MUTATION, "buffer_name"),
    "parameter_mutation": (OutputKind.PARAMETER_MUTATION, "parameter_name"),
    "user_input_mutation": (OutputKind.INPUT_MUTATION, "user_input_name"),
    "gradient_to_parameter": (OutputKind.PARAMETER_GRADIENT, "parameter_name"),
    "gradient_to_user_input": (OutputKind.INPUT_GRADIENT, "user_input_name"),
    "token": (OutputKind.TOKEN, None),
}

# A write back names an input of this kind, by its full name or by its value name.
_WRITTEN_BACK = {
    OutputKind.BUFFER_MUTATION: InputKind.BUFFER,
    OutputKind.PARAMETER_MUTATION: InputKind.PARAMETER,
    OutputKind.INPUT_MUTATION: InputKind.USER,
    OutputKind.PARAMETER_GRADIENT: InputKind.PARAMETER,
    OutputKind.INPUT_GRADIENT: InputKind.USER,
}

_LITERALS: dict[str, Callable[[Any], int | float | str | bool | None]] = {
    "as_none": lambda _: None,
    "as_int": as_integer,
    "as_float": as_float,
    "as_string": as_text,
    "as_bool": as_boolean,
}


def read_signature(module: Any, graph: Graph) -> Signature:
    """The signature of a `GraphModule`, checked against its graph."""
    signature = get(module, "signature", as_record)
    try:
        inputs = get(signature, "input_specs", lambda specs: each(specs, read_input_spec))
        _match_inputs(inputs, graph)
        outputs = get(signature, "output_specs", lambda specs: _read_output_specs(specs, graph, inputs))
    except Malformed as problem:
        raise problem.within("signature") from None
    in_spec, out_spec, names = get(
        module, "module_call_graph", lambda entries: read_call(entries, read_namedtuples(module))
    )
    users = sum(1 for spec in inputs if spec.kind in (InputKind.USER, InputKind.LITERAL))
    if in_spec.leaves != users:
        raise Malformed(f"in_spec has {in_spec.leaves} leaves, but the signature {users} user inputs")
    results = sum(1 for spec in outputs if spec.kind in (OutputKind.USER, OutputKind.LOSS))
    if out_spec.leaves != results:
        raise Malformed(f"out_spec has {out_spec.leaves} leaves, but the signature {results} user outputs")
    return Signature(inputs, outputs, in_spec, out_spec, names)


def read_input_spec(value: Any) -> InputSpec:
    member, content = variant(value)
    try:
        if member == "user_input":
            return _read_user_input(content)
        if member == "constant_input":
            return InputSpec(
                InputKind.LITERAL, get(content, "name", as_text), literal=get(content, "value", read_literal)
            )
        if member not in _INPUTS:
            raise Malformed("unknown kind of input: the file's schema is newer than this reader")
        kind, field = _INPUTS[member]
        name = get(content, "arg", lambda arg: get(arg, "name", as_name))
        fqn = get(content, field, as_text) if field else None
        persistent = get(content, "persistent", as_boolean) if kind is InputKind.BUFFER else True
        return InputSpec(kind, name, fqn, persistent)
    except Malformed as problem:
        raise problem.within(member) from None


def _read_user_input(content: Any) -> InputSpec:
    arg = get(content, "arg", as_record)
    name = bound_name(arg)
    if name is not None:
        return InputSpec(InputKind.USER, name)
    return InputSpec(InputKind.LITERAL, "", literal=read_literal(arg))


def read_literal(value: Any) -> int | float | str | bool | None:
    tag, content = variant(value)
    if tag not in _LITERALS:
        raise Malformed(f"expected a constant, got {show(tag)}")
    return _LITERALS[tag](content)


def _match_inputs(specs: tuple[InputSpec, ...], graph: Graph) -> None:
    """The specs parallel the graph's inputs, by name or as literals."""
    if len(specs) != len(graph.inputs):
        raise Malformed(f"{len(specs)} input specs for {len(graph.inputs)} graph inputs", "input_specs")
    bound: set[tuple[InputKind, str]] = set()
    for index, (spec, value) in enumerate(zip(specs, graph.inputs, strict=True)):
        where = f"input_specs[{index}]"
        if isinstance(value, Ref) != (spec.kind is not InputKind.LITERAL):
            raise Malformed(
                "one of the signature and the graph has a value here, the other a constant", where
            )
        if isinstance(value, Ref) and value.name != spec.name:
            raise Malformed(f"{spec.name!r} here, but {value.name!r} in the graph", where)
        if spec.fqn is not None and (spec.kind, spec.fqn) in bound:
            raise Malformed(f"{spec.fqn!r} is bound to two inputs", where)
        if spec.fqn is not None:
            bound.add((spec.kind, spec.fqn))


def _read_output_specs(values: Any, graph: Graph, inputs: tuple[InputSpec, ...]) -> tuple[OutputSpec, ...]:
    """The specs parallel the graph's outputs; a write back names an input."""
    values = as_list(values)
    if len(values) != len(graph.outputs):
        raise Malformed(f"{len(values)} output specs for {len(graph.outputs)} graph outputs")
    writable = {(spec.kind, spec.name if spec.kind is InputKind.USER else spec.fqn) for spec in inputs}
    parallel = iter(graph.outputs)
    return each(values, lambda value: _read_output_spec(value, next(parallel), writable))


def _read_output_spec(value: Any, output: Arg, writable: set[tuple[InputKind, str | None]]) -> OutputSpec:
    member, content = variant(value)
    if member not in _OUTPUTS:
        raise Malformed(f"unknown kind of output {show(member)}: the file's schema is newer than this reader")
    kind, field = _OUTPUTS[member]
    arg = get(content, "arg", as_record)
    name = bound_name(arg) if kind is OutputKind.USER else get(arg, "name", as_name)
    if (name is not None or isinstance(output, Ref)) and output != Ref(name or ""):
        raise Malformed(f"{name!r} here, but {output} in the graph", member)
    destination = get(content, field, as_text) if field else None
    if kind in _WRITTEN_BACK and (_WRITTEN_BACK[kind], destination) not in writable:
        raise Malformed(f"no {_WRITTEN_BACK[kind].value} input is called {destination!r}", member)
    return OutputSpec(kind, output, destination)


def read_namedtuples(module: Any) -> dict[str, tuple[str, ...]]:
    """Field names of the namedtuple types that occur in the specs."""
    return get_optional(
        module,
        "treespec_namedtuple_fields",
        lambda types: each_entry(
            types, lambda entry: get(entry, "field_names", lambda names: each(names, as_name))
        ),
        {},
    )


def read_call(
    entries: Any, namedtuples: dict[str, tuple[str, ...]]
) -> tuple[TreeSpec, TreeSpec, tuple[str, ...]]:
    """The pytrees of the program's own call, from the entry of the root module, and its argument names."""
    roots = [entry for entry in as_list(entries) if get(entry, "fqn", as_text) == ""]
    if len(roots) != 1:
        raise Malformed(f"expected one entry for the root module (fqn ''), got {len(roots)}")

    def read_spec(text: Any) -> TreeSpec:
        try:
            return parse_spec(as_text(text), namedtuples)
        except TreeSpecError as problem:
            raise Malformed(str(problem)) from None

    def read(call: Any) -> tuple[TreeSpec, TreeSpec, tuple[str, ...]]:
        names = get_optional(call, "forward_arg_names", lambda names: each(names, as_text), ())
        return get(call, "in_spec", read_spec), get(call, "out_spec", read_spec), names

    return get(roots[0], "signature", read)


def used_objects(signature: Signature, graph: Graph) -> list[str]:
    """Names of the script objects that something in the graph reads."""
    names = {value: value for value, type_ in graph.values.items() if isinstance(type_, ObjectType)}
    names |= {spec.name: spec.fqn or spec.name for spec in signature.inputs if spec.name in names}
    used = dict.fromkeys(name for node in graph.nodes for name in node.refs() if name in names)
    used |= dict.fromkeys(out.name for out in graph.outputs if isinstance(out, Ref) and out.name in names)
    return [names[name] for name in used]
