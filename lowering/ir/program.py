"""`Program`: an exported program as a frozen value. Weight-free: parameters and buffers are named, not held.

A program is a graph of nodes in execution order plus the contract around it. The contract has the kind of
each input (parameter, buffer, constant, user input). It has the kind of each output (returned, or written
back to a buffer or an input). It has the caller's pytrees, the ranges of the symbols and the guards over
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from lowering.ir.location import NO_LOCATION, Location
from lowering.ir.short_repr import ShortRepr, as_html
from lowering.ir.symbols import Expr
from lowering.ir.tree import TreeSpec
from lowering.ir.types import Device, DType, Layout, MemoryFormat, TensorType, ValueType


@dataclass(frozen=True, slots=True)
class Ref:
    """A use of the value with this name."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator passed as an argument (to a higher-order op), by its target."""

    target: str


# An argument of a node: a value, a literal, a list of either, or a nested graph.
Literal = None | bool | int | float | complex | str | DType | Device | Layout | MemoryFormat
Arg: TypeAlias = "Ref | Literal | Operator | Graph | tuple[Arg, ...] | dict[str, Arg]"


class Argument(NamedTuple):
    """One argument of a node, named as in the operator's schema (`""` for a higher-order op's)."""

    name: str
    value: Arg
    keyword: bool = False


# One output of a node: a value, nothing (None returned), or a list of values (`chunk`).
Output: TypeAlias = "str | tuple[str | None, ...] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A call of one operator.

    `target` is the exact overload: `aten.linear.default`, `higher_order.cond`, `_operator.add`. `functional`:
    the operator would write to an argument, but here it writes to a copy, which is a new value. `outputs` are
    then the operator's own, followed by the written arguments that it does not return, in schema order. Only
    functionalisation makes such nodes.
    """

    name: str
    target: str
    args: tuple[Argument, ...]
    outputs: tuple[Output, ...]
    location: Location = NO_LOCATION
    functional: bool = False

    @property
    def attributes(self) -> dict[str, Arg]:
        """The arguments that hold no value of the graph, by name, or by position where they have none."""
        return {
            argument.name or str(index): argument.value
            for index, argument in enumerate(self.args)
            if not any(refs_of(argument.value)) and not isinstance(argument.value, Graph)
        }

    def refs(self) -> Iterator[str]:
        """Names of the values this node reads, nested graphs' arguments included, in order."""
        for argument in self.args:
            yield from refs_of(argument.value)

    def results(self) -> Iterator[str]:
        """Names of the values this node defines."""
        for output in self.outputs:
            if isinstance(output, str):
                yield output
            elif output is not None:
                yield from (item for item in output if item is not None)


@dataclass(frozen=True, slots=True, repr=False)
class Graph(ShortRepr):
    """Nodes in execution order. `inputs` are value names or, for a specialised input, literals."""

    inputs: tuple[Arg, ...]
    outputs: tuple[Arg, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, ValueType]
    name: str = "main"
    # A branch of a higher-order op that returns one bare tensor rather than a list of one.
    returns_single: bool = False


class InputKind(Enum):
    """The role of a graph's input: the caller's, or one of the program's own weights."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT = "constant"  # a tensor constant, lifted
    OBJECT = "object"  # a script object, lifted
    TOKEN = "token"
    USER = "user"
    ADAPTER = "adapter"  # a tensor of a low-rank adapter, which comes with calls
    LITERAL = "literal"  # a user input that export specialised to a Python value


class OutputKind(Enum):
    """The role of a graph's output: returned to the caller, or written back."""

    USER = "user"
    LOSS = "loss"
    BUFFER_MUTATION = "buffer_mutation"
    PARAMETER_MUTATION = "parameter_mutation"
    INPUT_MUTATION = "input_mutation"
    PARAMETER_GRADIENT = "parameter_gradient"
    INPUT_GRADIENT = "input_gradient"
    TOKEN = "token"


BUFFER_WRITES = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)
MUTATIONS = (*BUFFER_WRITES, OutputKind.INPUT_MUTATION)
# Inputs with a value of the program's own: its weights.
STORED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A graph input. `name`: its value; `fqn`: the fully qualified name of the parameter, buffer, ..."""

    kind: InputKind
    name: str
    fqn: str | None = None
    persistent: bool = True
    literal: Literal = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """A graph output. `destination`: the buffer, parameter or user input (by value name) written to."""

    kind: OutputKind
    value: Arg
    destination: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Signature(ShortRepr):
    """The contract of a call. `inputs` and `outputs` parallel the graph's."""

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    in_spec: TreeSpec
    out_spec: TreeSpec
    argument_names: tuple[str, ...] = ()


class Range(NamedTuple):
    """Inclusive bounds of a symbol; None is unbounded."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A weight of a program: full name, kind and type. `name`: the value that carries it into the graph."""

    name: str
    fqn: str
    kind: InputKind
    type: TensorType
    persistent: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """An exported program.

    `name`: of the model, for people; empty where nobody gave one. `ranges`, `hints`: per symbol name, the
    bounds that a call is held to and its value in the example inputs. `guards`: boolean expressions over the
    symbols `L['x'].size()[0]` etc. (see `lowering.ir.symbols`), each with its source text.
    """

    graph: Graph
    signature: Signature
    ranges: Mapping[str, Range] = field(default_factory=dict)
    hints: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    torch_version: str = ""
    schema_version: tuple[int, int] = (0, 0)
    name: str = ""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes in execution order, without those of nested graphs."""
        return self.graph.nodes

    @property
    def inputs(self) -> dict[str, ValueType | Literal]:
        """A caller's arguments by value name: a type each, or the value that one was specialised to."""
        return {
            spec.name: spec.literal if spec.kind is InputKind.LITERAL else self.graph.values[spec.name]
            for spec in self.signature.inputs
            if spec.kind in (InputKind.USER, InputKind.LITERAL)
        }

    @property
    def outputs(self) -> tuple[ValueType | Arg, ...]:
        """The results in order: a type each, or the value that one always has."""
        returned = (s.value for s in self.signature.outputs if s.kind in (OutputKind.USER, OutputKind.LOSS))
        return tuple(self.graph.values[v.name] if isinstance(v, Ref) else v for v in returned)

    @property
    def weights(self) -> dict[str, WeightSpec]:
        """Parameters, buffers and tensor constants, by the value that carries each into the graph."""
        found = (
            (spec, self.graph.values.get(spec.name)) for spec in self.signature.inputs if spec.kind in STORED
        )
        return {
            spec.name: WeightSpec(spec.name, spec.fqn or "", spec.kind, type_, spec.persistent)
            for spec, type_ in found
            if isinstance(type_, TensorType)
        }

    def __str__(self) -> str:
        from lowering.ir.text import print_program

        return print_program(self)

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        kinds = [spec.kind for spec in self.signature.inputs]
        weights = sum(kind in STORED for kind in kinds)
        counts = f"{len(self.nodes)} nodes, {len(kinds) - weights} inputs, {weights} weights"
        return f"<Program {name}{counts}, torch {self.torch_version or 'unknown'}>"

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def validate(self) -> None:
        """Raise InvalidProgram, with every rule that is broken and where, unless all hold."""
        from lowering.ir.validate import validate

        validate(self)

    def to_mermaid(self, depth: int | None = None, max_nodes: int = 100) -> str:
        """The program as a Mermaid flowchart of `max_nodes` boxes or fewer, folded by module.

        `depth`: modules are open to this depth at most. Raises BridgeError for numbers that are too small.
        """
        from lowering.render.mermaid import to_mermaid

        return to_mermaid(self, depth=depth, max_nodes=max_nodes)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`; `from_json` gives an equal program."""
        from lowering.ir.json import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, data: Any) -> Program:
        """The program that `to_json` wrote. Raises JSONError with the place, as a path from `$`."""
        from lowering.ir.json import from_json

        return from_json(data)

    def to_python(self, name: str | None = None) -> str:
        """Source of a `torch.nn.Module` that is this program, a class `name`, without the weights' values.

        Its state dict has the program's names. Raises NoSource for what source cannot say.
        """
        from lowering.python.source import python_source

        return python_source(self, name)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the program as JSON, without weights, all or nothing; gives the path."""
        from lowering.host.program_files import save_program

        return save_program(self, Path(path))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Program:
        """Read a program that `save` wrote, and check every rule. Raises JSONError, InvalidProgram."""
        from lowering.host.program_files import load_program

        return load_program(Path(path))


class Guard(NamedTuple):
    """A condition on the inputs' sizes under which the program was exported, and its text in the file."""

    text: str
    condition: Expr


def refs_of(arg: Arg) -> Iterator[str]:
    """Names of the values inside an argument, in order. A nested graph reads nothing but its inputs."""
    # Not by `leaves_of`, which takes nearly twice as long: every pass asks this of every argument.
    if isinstance(arg, Ref):
        yield arg.name
    elif isinstance(arg, tuple):
        for item in arg:
            yield from refs_of(item)
    elif isinstance(arg, dict):
        for item in arg.values():
            yield from refs_of(item)


def leaves_of(arg: Arg) -> Iterator[Arg]:
    """The items inside an argument's lists and dictionaries, in order."""
    if isinstance(arg, tuple):
        for item in arg:
            yield from leaves_of(item)
    elif isinstance(arg, dict):
        for item in arg.values():
            yield from leaves_of(item)
    else:
        yield arg


def graphs_of(node: Node) -> Iterator[Graph]:
    """The graphs that a node is given, in order."""
    return (item for a in node.args for item in leaves_of(a.value) if isinstance(item, Graph))


def all_graphs(graph: Graph) -> Iterator[Graph]:
    """A graph and its nested graphs, each before the graphs nested in it."""
    yield graph
    for node in graph.nodes:
        for nested in graphs_of(node):
            yield from all_graphs(nested)


def all_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes, each before those of the graphs that it holds."""
    for node in nodes:
        yield node
        for graph in graphs_of(node):
            yield from all_nodes(graph.nodes)
