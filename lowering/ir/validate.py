"""The invariants of every program, as a table of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lowering.ir.argument_types import fits
from lowering.ir.aten import SchemaError, schema
from lowering.ir.errors import BridgeError
from lowering.ir.facts.higher_order import branches
from lowering.ir.facts.namespaces import is_aten
from lowering.ir.program import (
    MUTATIONS,
    Arg,
    Graph,
    InputKind,
    Node,
    OutputKind,
    Program,
    Ref,
    all_graphs,
    leaves_of,
)
from lowering.ir.symbols import Term, free_symbols, is_unbacked
from lowering.ir.tree_spec import DICT, TUPLE
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.ir.uses import input_names, made_by, output_names


class InvalidProgram(BridgeError, ValueError):
    """A program that breaks rules. `violations`: a sentence each, its place first; `rules`: their names."""

    def __init__(self, violations: list[str], rules: list[str] | None = None) -> None:
        shown = violations[:20]
        more = f"\n  and {len(violations) - 20} more" if len(violations) > 20 else ""
        super().__init__("\n  ".join(["the program is not valid:", *shown]) + more)
        self.violations = tuple(violations)
        self.rules = tuple(rules or ())


def validate(program: Program, functional: bool = False) -> None:
    """Raise InvalidProgram, with everything that is wrong, unless all rules hold.

    `functional`: also demand that no node writes to its arguments.
    """
    found = [(rule.__name__, text) for rule in PROGRAM_RULES for text in rule(program)]
    rules = (*GRAPH_RULES, writes_nothing) if functional else GRAPH_RULES
    for graph in all_graphs(program.graph):
        found += [(rule.__name__, f"graph {graph.name}: {text}") for rule in rules for text in rule(graph)]
    if found:
        raise InvalidProgram([text for _, text in found], [name for name, _ in found])


# ----------------------------------------------------------------------------------------------- one graph


def used_after_definition(graph: Graph) -> Iterator[str]:
    """Every value that is read is an input or a result of an earlier node."""
    defined = set(input_names(graph))
    for node in graph.nodes:
        for name in node.refs():
            if name not in defined:
                yield f"node {node.name} reads {name}, which nothing before it defines"
        defined.update(node.results())
    for name in output_names(graph):
        if name not in defined:
            yield f"it returns {name}, which nothing defines"


def defined_once(graph: Graph) -> Iterator[str]:
    """No value has two definitions, and no two nodes have one name."""
    names = input_names(graph)
    names += [name for node in graph.nodes for name in node.results()]
    for name in _repeated(names):
        yield f"{name} is defined more than once"
    for name in _repeated([node.name for node in graph.nodes]):
        yield f"two nodes are named {name}"


def typed(graph: Graph) -> Iterator[str]:
    """Every value has a type, and every type is of a value."""
    names = set(input_names(graph))
    names |= made_by(graph.nodes)
    for name in sorted(names - set(graph.values)):
        yield f"{name} has no type"
    for name in sorted(set(graph.values) - names):
        yield f"{name} has a type, but nothing defines it"


def ranks_agree(graph: Graph) -> Iterator[str]:
    """A tensor has as many strides as sizes, and no negative size."""
    for name, type_ in graph.values.items():
        if isinstance(type_, TensorType):
            if len(type_.sizes) != len(type_.strides):
                yield f"{name} has {len(type_.sizes)} sizes and {len(type_.strides)} strides"
            if any(isinstance(size, int) and size < 0 for size in type_.sizes):
                yield f"{name} has a negative size"


def arguments_fit(graph: Graph) -> Iterator[str]:
    """A call's arguments and the number of its results fit its operator's schema, where the table has it."""
    for node in graph.nodes:
        found = schema(node.target)
        if found is None:
            if is_aten(node.target):
                yield f"node {node.name}: ATen has no {node.target}"
            continue
        try:
            bound = found.bind(node.args)
        except SchemaError as error:
            yield f"node {node.name}: {error}"
            continue
        for parameter in found.parameters:
            value = bound[parameter.name]
            if not fits(value, parameter.type, graph.values) or (parameter.writes and _has_number(value)):
                yield (
                    f"node {node.name}: {node.target} takes {parameter.name!r} as {parameter.type}, "
                    f"not {_shown(value)}"
                )
        expected = len(found.returns)
        if node.functional:
            returned = {found.written_return(index) for index in range(expected)}
            expected += len([name for name in found.written(bound) if name not in returned])
        if len(node.outputs) != expected:
            yield f"node {node.name}: {node.target} has {expected} results, not {len(node.outputs)}"


# A result's type in the schema, and the type of its value.
_RESULTS: Mapping[str, type[ValueType] | tuple[()]] = {
    **dict.fromkeys(("Tensor", "Tensor[]"), TensorType),
    **dict.fromkeys(("ScalarType", "QScheme"), ()),  # a value of the IR is neither
    **dict.fromkeys(("int", "SymInt", "bool", "SymBool", "float", "Scalar"), SymType),
}


def results_fit(graph: Graph) -> Iterator[str]:
    """A result is of the kind that its operator's schema says: a tensor, or a number."""
    for node in graph.nodes:
        found = schema(node.target)
        for result, output in zip(found.returns if found else (), node.outputs, strict=False):
            kind = _RESULTS.get(result.type, ValueType)
            for name in (output,) if isinstance(output, str) else output or ():
                type_ = None if name is None else graph.values.get(name)
                if type_ is not None and not isinstance(type_, kind):
                    yield f"node {node.name}: {node.target} returns {result.type}, which {name} is not"


def _has_number(value: Arg) -> bool:
    """torch takes a number for a tensor that is read; one that is written must be there to be written."""
    return any(isinstance(item, int | float | complex) for item in leaves_of(value))


def _shown(value: Arg) -> str:
    return f"the graph {value.name}" if isinstance(value, Graph) else f"{value!s:.60}"


def branches_fit(graph: Graph) -> Iterator[str]:
    """The branches of a `cond` take its operands and give its results."""
    for node in graph.nodes:
        for position in branches(node.target):
            if len(node.args) < 4 or not isinstance(node.args[position].value, Graph):
                yield f"node {node.name}: {node.target} takes a condition, two graphs and operands"
                break
            branch, operands = node.args[position].value, node.args[3].value
            assert isinstance(branch, Graph)
            given = len(operands) if isinstance(operands, tuple) else 1
            if len(branch.inputs) != given:
                yield f"node {node.name}: {branch.name} takes {len(branch.inputs)} values, given {given}"
            wanted = sum(len(o) if isinstance(o, tuple) else 1 for o in node.outputs)
            if len(branch.outputs) != wanted:
                yield f"node {node.name}: {branch.name} returns {len(branch.outputs)} values, not {wanted}"


def writes_nothing(graph: Graph) -> Iterator[str]:
    """In a functional program, no node writes to an argument."""
    for node in graph.nodes:
        if not node.functional and _writes(node):
            yield f"node {node.name}: {node.target} writes to its arguments"


def _writes(node: Node) -> bool:
    found = schema(node.target)
    try:
        return found is not None and bool(found.written(found.bind(node.args)))
    except SchemaError:
        return False


# --------------------------------------------------------------------------------------------- the program


def inputs_parallel(program: Program) -> Iterator[str]:
    """The signature's inputs are the graph's, in order."""
    specs, inputs = program.signature.inputs, program.graph.inputs
    if len(specs) != len(inputs):
        yield f"the signature has {len(specs)} inputs, the graph {len(inputs)}"
    for index, (spec, item) in enumerate(zip(specs, inputs, strict=False)):
        if isinstance(item, Ref) and item.name != spec.name:
            yield f"input {index} is {spec.name} in the signature and {item.name} in the graph"
        if isinstance(item, Ref) == (spec.kind is InputKind.LITERAL):
            yield f"input {index}, {spec.name}, is a {spec.kind.value}, but the graph has {item}"


def outputs_parallel(program: Program) -> Iterator[str]:
    """The signature's outputs are the graph's, in order."""
    specs, outputs = program.signature.outputs, program.graph.outputs
    if len(specs) != len(outputs):
        yield f"the signature has {len(specs)} outputs, the graph {len(outputs)}"
    for index, (spec, item) in enumerate(zip(specs, outputs, strict=False)):
        if spec.value != item:
            yield f"output {index} is {spec.value} in the signature and {item} in the graph"


def destinations_exist(program: Program) -> Iterator[str]:
    """A destination is an input of the output's kind, and has one output."""
    kinds = {
        OutputKind.BUFFER_MUTATION: (InputKind.BUFFER, InputKind.CONSTANT),
        OutputKind.PARAMETER_MUTATION: (InputKind.PARAMETER,),
        OutputKind.INPUT_MUTATION: (InputKind.USER,),
    }
    destinations: list[str] = []
    for spec in program.signature.outputs:
        if spec.kind not in MUTATIONS:
            continue
        known = {
            item.name if spec.kind is OutputKind.INPUT_MUTATION else item.fqn
            for item in program.signature.inputs
            if item.kind in kinds[spec.kind]
        }
        if spec.destination not in known:
            yield f"a {spec.kind.value} is of {spec.destination}, which is not such an input"
        destinations.append(f"{spec.kind.value} {spec.destination}")
    for name in _repeated(destinations):
        yield f"there are two outputs for the {name}"


def trees_fit(program: Program) -> Iterator[str]:
    """The pytrees have as many leaves as the call takes and returns."""
    signature = program.signature
    given = sum(spec.kind in (InputKind.USER, InputKind.LITERAL) for spec in signature.inputs)
    if signature.in_spec.leaves != given:
        yield f"the arguments' structure has {signature.in_spec.leaves} leaves, the signature {given}"
    call = [child.type for child in signature.in_spec.children]
    if signature.in_spec.type != TUPLE or call != [TUPLE, DICT]:
        yield "the arguments' structure is not a tuple of a tuple and a dict"
    returned = sum(spec.kind in (OutputKind.USER, OutputKind.LOSS) for spec in signature.outputs)
    if signature.out_spec.leaves != returned:
        yield f"the results' structure has {signature.out_spec.leaves} leaves, the signature {returned}"


def symbols_bound(program: Program) -> Iterator[str]:
    """Every symbol has a range, or is unbacked and appears in a node's results."""
    known = set(program.ranges)
    for graph in all_graphs(program.graph):
        for node in graph.nodes:
            for name in node.results():
                known |= {symbol for symbol in _symbols(graph, name) if is_unbacked(symbol)}
    for graph in all_graphs(program.graph):
        for name in graph.values:
            for symbol in sorted(_symbols(graph, name) - known):
                yield f"graph {graph.name}: {name} has the symbol {symbol}, without range or origin"
    for name, bounds in program.ranges.items():
        if bounds.low is not None and bounds.high is not None and bounds.low > bounds.high:
            yield f"the range of {name} is empty"


def _symbols(graph: Graph, name: str) -> frozenset[str]:
    type_ = graph.values.get(name)
    terms: tuple[Term, ...] = ()
    if isinstance(type_, TensorType):
        terms = (*type_.sizes, *type_.strides, type_.offset)
    elif isinstance(type_, SymType):
        terms = (type_.value,)
    return frozenset().union(*map(free_symbols, terms))


def _repeated(names: list[str]) -> list[str]:
    seen: set[str] = set()
    return list(dict.fromkeys(name for name in names if name in seen or seen.add(name)))


GRAPH_RULES: tuple[Callable[[Graph], Iterator[str]], ...] = (
    used_after_definition,
    defined_once,
    typed,
    ranks_agree,
    arguments_fit,
    results_fit,
    branches_fit,
)
PROGRAM_RULES: tuple[Callable[[Program], Iterator[str]], ...] = (
    inputs_parallel,
    outputs_parallel,
    destinations_exist,
    trees_fit,
    symbols_bound,
)
