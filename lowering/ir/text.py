"""Programs as text to read and to compare: deterministic, one line a node.

    mlp(
      %weight: f32[8, 4]  # parameter fc.weight
      %x: f32[s77, 4]  # user
    ) where 2 <= s77 <= 64 {
      %linear: f32[s77, 8] = aten.linear.default(input=%x, weight=%weight)  # model.py:12
      return (
        %linear
      )
    }

Strides are shown where they are not row-major, and the device where it is not the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lowering.ir.dims import row_major
from lowering.ir.program import Arg, Argument, Graph, InputSpec, Node, Output, OutputSpec, Program, graphs_of
from lowering.ir.symbols import to_text
from lowering.ir.types import CPU, DType, Layout, ObjectType, SymType, TensorType, ValueType

_SHORT = {
    **{dtype: dtype.value.replace("uint", "u").replace("int", "i").replace("float", "f") for dtype in DType},
    DType.BFLOAT16: "bf16",
    **{
        dtype: f"f8{dtype.value.removeprefix('float8')}"
        for dtype in DType
        if dtype.value.startswith("float8")
    },
    **{dtype: f"c{dtype.value.removeprefix('complex')}" for dtype in DType if dtype.is_complex},
}


def print_program(program: Program) -> str:
    """The program as text, ending in a newline."""
    lines = [f"{program.graph.name}("]
    graph = program.graph
    for spec, item in zip(program.signature.inputs, graph.inputs, strict=True):
        lines.append(f"  {_input(item, graph)}  # {_input_note(spec)}")
    lines.append(f"){_where(program)} {{")
    lines += _body(graph, "  ")
    lines.append("  return (")
    lines += [f"    {_output_note(spec)}" for spec in program.signature.outputs]
    lines += ["  )", "}"]
    lines += [f"guard {guard.text}" for guard in program.guards]
    return "\n".join(lines) + "\n"


def print_nodes(nodes: Iterable[Node], graph: Graph) -> Iterator[str]:
    """The lines of some nodes. `graph` has the types of their values."""
    for node in nodes:
        yield from _node(node, graph, "")


def print_type(type_: ValueType | None) -> str:
    """A type as text: `f32[2, s0]`, `i64[3, 4; strides 1, 3]`, `int(2*s0)`."""
    if isinstance(type_, SymType):
        return f"{type_.kind.value}({to_text(type_.value)})"
    if isinstance(type_, ObjectType):
        return f"object({type_.class_name})"
    if not isinstance(type_, TensorType):
        return "token" if type_ is not None else "?"
    text = ", ".join(map(to_text, type_.sizes))
    if type_.strides != row_major(type_.sizes):
        text += f"; strides {', '.join(map(to_text, type_.strides))}"
    if type_.offset != 0:
        text += f"; offset {to_text(type_.offset)}"
    notes = [] if type_.device == CPU else [str(type_.device)]
    notes += [] if type_.layout is Layout.STRIDED else [type_.layout.value]
    return f"{_SHORT[type_.dtype]}[{text}]{''.join(f' @ {note}' for note in notes)}"


def _where(program: Program) -> str:
    bounds: list[str] = []
    for name, (low, high) in sorted(program.ranges.items()):
        left = "" if low is None else f"{low} <= "
        right = "" if high is None else f" <= {high}"
        hint = f" (example {program.hints[name]})" if name in program.hints else ""
        bounds.append(f"{left}{name}{right}{hint}")
    return f" where {', '.join(bounds)}" if bounds else ""


def _input(item: Arg, graph: Graph) -> str:
    text = print_arg(item)
    return f"{text}: {print_type(graph.values.get(text[1:]))}" if text.startswith("%") else text


def _input_note(spec: InputSpec) -> str:
    note = spec.kind.value
    if spec.fqn is not None:
        note += f" {spec.fqn}"
    return note if spec.persistent else f"{note}, not persistent"


def _output_note(spec: OutputSpec) -> str:
    note = "" if spec.kind.value == "user" else f"  # {spec.kind.value}"
    return f"{print_arg(spec.value)}{note}{f' {spec.destination}' if spec.destination is not None else ''}"


def _body(graph: Graph, indent: str) -> Iterator[str]:
    for node in graph.nodes:
        yield from _node(node, graph, indent)


def _node(node: Node, graph: Graph, indent: str) -> Iterator[str]:
    results = ", ".join(_output(output, graph) for output in node.outputs)
    args = ", ".join(_argument(argument) for argument in node.args)
    functional = " [functional]" if node.functional else ""
    location = str(node.location)
    note = f"  # {location}" if location else ""
    name = "" if node.name == next(node.results(), None) else f"  # node {node.name}"
    left = f"{results} = " if results else ""
    yield f"{indent}{left}{node.target}{functional}({args}){note}{name}"
    for nested in graphs_of(node):
        inputs = ", ".join(_input(item, nested) for item in nested.inputs)
        yield f"{indent}  {nested.name}({inputs}) {{"
        yield from _body(nested, indent + "    ")
        outputs = ", ".join(map(print_arg, nested.outputs))
        yield f"{indent}    return {outputs if nested.returns_single else f'({outputs})'}"
        yield f"{indent}  }}"


def _output(output: Output, graph: Graph) -> str:
    if output is None:
        return "none"
    if isinstance(output, tuple):
        return f"[{', '.join(_output(item, graph) for item in output)}]"
    return f"%{output}: {print_type(graph.values.get(output))}"


def _argument(argument: Argument) -> str:
    return f"{argument.name}={print_arg(argument.value)}" if argument.name else print_arg(argument.value)


def described(node: Node) -> str:
    """A node's name, operator and source line."""
    where = str(node.location)
    return f"{node.name} ({node.target})" + (f" at {where}" if where else "")


def print_arg(arg: Arg) -> str:
    """An argument as text: `%x`, `[1, 2]`, `f32`, `'mean'`; a graph by its name."""
    if isinstance(arg, tuple):
        return f"[{', '.join(map(print_arg, arg))}]"
    if isinstance(arg, dict):
        return f"{{{', '.join(f'{key}: {print_arg(item)}' for key, item in arg.items())}}}"
    if isinstance(arg, Graph):
        return f"@{arg.name}"
    if isinstance(arg, DType):
        return _SHORT[arg]
    if isinstance(arg, str):
        return repr(arg)
    return str(getattr(arg, "value", getattr(arg, "target", arg)))
