"""The source of a program: its classes as text, the model's own last."""

from __future__ import annotations

import re
from dataclasses import replace

from lowering.ir.dims import row_major
from lowering.ir.program import InputKind, OutputKind, Program, WeightSpec, all_nodes, graphs_of
from lowering.ir.types import CPU, DType, TensorType
from lowering.python.calls import Path, Weight
from lowering.python.classes import Built, Class, Made, Modules, Several, weight_numbers
from lowering.python.errors import NoSource
from lowering.python.expressions import POSTFIX, Expression, Part, Use, argument, literal, quoted
from lowering.python.forward import Surroundings, forward_lines, tuple_of
from lowering.python.identifiers import RESERVED, Names, class_name, is_identifier
from lowering.python.regions import flattened
from lowering.python.steps import RUNS_FUNCTIONS, Body, Step
from lowering.python.structure import annotation, parameters, returned
from lowering.python.wrapping import WIDTH, wrapped


def python_source(program: Program, name: str | None = None) -> str:
    """A module of Python with a class that is the program, called `name` or as the program is.

    Raises NoSource with everything that source cannot say.
    """
    program = flattened(program)
    _check(program)
    modules = Modules(program, class_name(name or program.name or "Model"))
    body = "\n\n\n".join(_class(cls, modules, program) for cls in modules.classes)
    heads = ["from __future__ import annotations", ""]
    heads += ["import collections", ""] if "collections." in body else []
    heads += ["import torch"]
    heads += ["import torch.nn.functional as F"] if re.search(r"\bF\.", body) else []
    heads += ["from torch import Tensor, nn"]
    return "\n".join(heads) + "\n\n\n" + body + "\n"


_KINDS = {InputKind.OBJECT: "a script object", InputKind.TOKEN: "an effect token"}


def _check(program: Program) -> None:
    """Raise NoSource with all that source cannot say, unless it can say all."""
    nodes = list(all_nodes(program.nodes))
    problems = {
        f"{node.target} runs a graph"
        for node in nodes
        if any(graphs_of(node)) and node.target not in RUNS_FUNCTIONS
    }
    problems |= {f"{node.target} was made functional" for node in nodes if node.functional}
    problems |= {f"{_KINDS[s.kind]} is an input" for s in program.signature.inputs if s.kind in _KINDS}
    kinds = {s.kind for s in program.signature.outputs} - _OUTPUTS
    problems |= {f"an output is a {kind.value.replace('_', ' ')}" for kind in kinds}
    paths = {w.fqn for w in program.weights.values()} | {n.location.module_path for n in program.nodes}
    parts = {part for path in paths for part in path.split(".")}
    problems |= {f"a module or a weight is called {part}" for part in parts & RESERVED}
    if problems:
        raise NoSource(f"source cannot say the program: {', '.join(sorted(problems))}")


_WRITES = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION, OutputKind.INPUT_MUTATION)
_OUTPUTS = {OutputKind.USER, *_WRITES}


def _class(cls: Class, modules: Modules, program: Program) -> str:
    root = not cls.module.path
    signature = cls.signature()
    taken = ", ".join(("self", *(f"{name}: {_kind(cls, place)}" for name, place in signature.items())))
    head = wrapped(f"    def __init__({taken}) -> None:", 4)
    lines: list[str] = []
    place = 0
    lines_of_weights: list[str] = []
    for weight in cls.module.weights:
        count = len(weight_numbers(weight))
        sizes = [
            cls.parameters.get(place + i, literal(n.value)) for i, n in enumerate(weight_numbers(weight))
        ]
        lines_of_weights += wrapped(f"        {_weight(weight, sizes)}", 8)
        place += count
    lines_of_children: list[str] = []
    for name, child in cls.children.items():
        lines_of_children += _child(name, child, cls, place)
        place += len(child.numbers)
    own: dict[int, str] = {}
    stored: dict[str, None] = {}
    body = _root_body(cls.body, program) if root and cls.body is not None else cls.body
    attributes = Names(("forward", "training", *cls.children, *(w.name for w in cls.module.weights)))
    known: dict[str, str] = {}
    for index, _ in enumerate(body.numbers() if body is not None else ()):
        parameter = cls.parameters.get(place + index)
        if parameter is not None:
            if parameter not in known:
                known[parameter] = attributes.fresh(parameter)
                stored[f"        self.{known[parameter]} = {parameter}"] = None
            own[index] = f"self.{known[parameter]}"
    lines += [*stored, *lines_of_weights, *lines_of_children]
    if root and _has_modes(modules):
        lines.append("        self.eval()")
    if lines:
        lines = [*head, "        super().__init__()", *lines]
    if body is not None:
        lines += [*([""] if lines else []), *_forward(cls, body, modules, program, own)]
    if root and not all(_in_state(spec) for spec in program.weights.values()):
        lines += ["", *_CONSTANTS]
    return "\n".join((f"class {cls.name}(nn.Module):", *(lines or ["    pass"])))


def _in_state(spec: WeightSpec) -> bool:
    """Whether a state dict has it."""
    return spec.kind is not InputKind.CONSTANT and spec.persistent


# A state dict lacks them; torch.export keeps them apart, too.
_CONSTANTS = '''\
    def load_constants(self, constants: dict[str, Tensor]) -> None:
        """Take the tensors that a state dict lacks, by name, as `ExportedProgram.constants` has them."""
        for name, value in constants.items():
            path, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(path), leaf, value)'''.split("\n")


def _has_modes(modules: Modules) -> bool:
    """Whether a module of torch.nn does something else in training."""
    return any(isinstance(made, Built) and made.layer.has_modes for made in modules.made.values())


def _kind(cls: Class, place: int) -> str:
    kinds = {type(row[place]) for row in cls.rows}
    if kinds == {int}:
        return "int"
    if kinds <= {int, float}:
        return "float"
    return "tuple[int, ...]" if kinds == {tuple} else "int | tuple[int, ...]"


def _weight(weight: Weight, sizes: list[str]) -> str:
    type_ = weight.type
    options = [] if type_.dtype is DType.FLOAT32 else [f"dtype={literal(type_.dtype)}"]
    options += [] if type_.device == CPU else [f"device={literal(type_.device)}"]
    if not type_.is_static or type_.layout.value != "strided":
        raise NoSource(f"the weight {weight.name!r} is not a plain tensor of known sizes")
    make = "zeros" if weight.kind is not InputKind.PARAMETER else "empty"
    if type_.strides == row_major(type_.sizes) and type_.offset == 0:
        size = ", ".join(sizes) if sizes else "()"
        tensor = f"torch.{make}({', '.join((size, *options))})"
    else:
        tensor = _strided(type_, options)
    name = weight.name
    if weight.kind is InputKind.PARAMETER:
        made = f"nn.Parameter({tensor}{'' if type_.requires_grad else ', requires_grad=False'})"
        return (
            f"self.{name} = {made}"
            if is_identifier(name)
            else f"self.register_parameter({quoted(name)}, {made})"
        )
    if weight.kind is InputKind.BUFFER:
        kept = "" if weight.persistent else ", persistent=False"
        return f"self.register_buffer({quoted(name)}, {tensor}{kept})"
    return f"self.{name} = {tensor}" if is_identifier(name) else f"setattr(self, {quoted(name)}, {tensor})"


def _strided(type_: TensorType, options: list[str]) -> str:
    sizes, strides, offset = type_.sizes, type_.strides, type_.offset
    if not all(isinstance(item, int) for item in (*sizes, *strides, offset)):
        raise NoSource("a weight has strides that depend on the inputs")
    reach = [(size - 1) * stride for size, stride in zip(sizes, strides, strict=True)]  # pyright: ignore
    length = offset + sum(reach) + 1 if 0 not in sizes else offset  # pyright: ignore[reportOperatorIssue]
    storage = f"torch.zeros({', '.join((str(length), *options))})"
    return f"{storage}.as_strided({literal(sizes)}, {literal(strides)}, {offset})"


def _child(name: str, child: Made, cls: Class, offset: int) -> list[str]:
    def says(place: int) -> str | None:
        return cls.parameters.get(offset + place)

    left, right = f"self.{name} = ", ""
    if not is_identifier(name):
        left, right = f"self.add_module({quoted(name)}, ", ")"
    text = f"        {left}{child.text(says)}{right}"
    if len(text) <= WIDTH or not isinstance(child, Several):
        return wrapped(text, 8)
    items = child.runs(says)
    opening, closing = ("[", "]") if child.callee == "nn.ModuleList" else ("", "")
    return [
        f"        {left}{child.callee}({opening}",
        *(line for item in items for line in wrapped(f"            {item},", 12)),
        f"        {closing}){right}",
    ]


def _root_body(body: Body, program: Program) -> Body:
    """The body with the program's writes to buffers and inputs after it."""
    weights = {spec.fqn: spec.name for spec in program.weights.values()}
    writes = tuple(
        Step(Expression((Use(value, POSTFIX), ".copy_(", *argument(spec.value), ")")), (), "copy")
        for spec in program.signature.outputs
        if spec.kind in _WRITES and spec.destination is not None
        for value in (weights.get(spec.destination, spec.destination),)
    )
    return replace(body, steps=(*body.steps, *writes)) if writes else body


def _forward(cls: Class, body: Body, modules: Modules, program: Program, own: dict[int, str]) -> list[str]:
    root = not cls.module.path
    path = cls.module.path

    def attribute(value: str) -> str | None:
        where = modules.weights.get(value)
        if where is None or where[0][: len(path)] != path:
            return None
        module = f"self{modules.access(where[0])[len(modules.access(path)) :]}"
        return f"{module}.{where[1]}" if is_identifier(where[1]) else f"getattr({module}, {quoted(where[1])})"

    def access(below: Path) -> str:
        return modules.access((*path, *below))[len(modules.access(path)) :]

    def length(below: Path) -> int | None:
        made = modules.made.get((*path, *below))
        return len(made.items) if isinstance(made, Several) else None

    taken, names = parameters(program) if root else ([], body.argument_names())
    parts: list[Part] = returned(program) if root else list(tuple_of(body.results))
    around = Surroundings(attribute, access, length, own, names)
    if root:
        body = replace(body, arguments=tuple(a for a in body.arguments if a in names))
    text = forward_lines(body, parts, around)
    if not root:
        taken = [f"{name}{annotation(program.graph.values[value])}" for value, name in names.items()]
    given = ", ".join(("self", *taken))
    kind = "" if root else " -> None" if not body.results else " -> Tensor" if len(body.results) == 1 else ""
    lines = wrapped(f"    def forward({given}){kind}:", 4)
    return [*lines, *(piece for line in text or ["pass"] for piece in _indented(line))]


def _indented(line: str) -> list[str]:
    """A line of a forward, wrapped as deep as it stands."""
    return wrapped(f"        {line}", 8 + len(line) - len(line.lstrip()))
