"""From nodes to one StableHLO module: bind each rule's arguments, run it, check what it built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from lowering.ir.aten import REQUIRED, OpSchema
from lowering.ir.custom_operators import schema_of
from lowering.ir.facts.checks import is_check
from lowering.ir.facts.namespaces import is_higher_order
from lowering.ir.module import Check, Module, Port
from lowering.ir.program import Arg, Graph, Node, Program, Range, Ref, leaves_of
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.ir.unbacked import gives_number
from lowering.stablehlo import hlo
from lowering.stablehlo.checks import Checks
from lowering.stablehlo.concrete import Sizes, concrete, scalar_of
from lowering.stablehlo.context import ConcreteType, Context, Operand
from lowering.stablehlo.data_number import DataNumber, is_data_number
from lowering.stablehlo.entry import (
    CHECKS,
    Env,
    bound_inputs,
    close_module,
    flags,
    open_module,
    port_of,
    result_of,
    weight_names,
)
from lowering.stablehlo.errors import RuleError, Unsupported
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.number_nodes import check_number, number_of, tells
from lowering.stablehlo.number_ranges import check_ranges
from lowering.stablehlo.registry import OPTIONS, Rule, rule_for
from lowering.stablehlo.size_questions import are_equal
from lowering.stablehlo.value import Value, constant, types_text

NO_RANGES: Mapping[str, Range] = {}
NO_REASONS: Mapping[str, str] = {}

# How deep graphs may lie in graphs: each level costs a dozen frames of Python's stack.
MAX_DEPTH = 32


def emit_module(
    program: Program,
    nodes: Iterable[Node],
    inputs: Sequence[str],
    outputs: Sequence[str],
    sizes: Sizes,
    name: str,
    bounds_checks: bool = True,
) -> Module:
    """Lower these nodes of the program's graph into a portable StableHLO module named `name`.

    `inputs` and `outputs` are values of the main graph, tensors and numbers from data; `sizes` gives every
    symbol that sizes tensors its value. `bounds_checks`: whether the module reports indices that are out of
    bounds. Raises Unsupported where a node has no lowering at these sizes, RuleError where a rule is wrong.
    """
    values = program.graph.values
    weights = weight_names(program)
    in_ports = tuple(port_of(value, values[value], sizes, weights.get(value)) for value in inputs)
    with hlo.make_context(), ir.Location.unknown():
        module, entry = open_module(name, in_ports)
        emitter = Emitter(sizes, bounds_checks=bounds_checks, ranges=program.ranges)
        env = bound_inputs(program.graph, inputs, map(Value, entry.entry_block.arguments))
        with ir.InsertionPoint(entry.entry_block):
            emitter.emit_nodes(program.graph, nodes, env)
            results = [result_of(env[value]) for value in outputs]
            checks = emitter.checks.found()
            if checks:
                results.append(flags(list(checks.values())))
        code = close_module(module, entry, results)
    names = [*outputs, CHECKS] if checks else outputs
    out_ports = tuple(Port(v, r.dtype, r.shape) for v, r in zip(names, results, strict=True))
    return Module(code, in_ports, out_ports, name, tuple(checks))


def try_nodes(program: Program, sizes: Sizes, known: Mapping[str, str] = NO_REASONS) -> dict[str, str]:
    """Run every node's rule and keep nothing: the reasons of those that do not lower, by node name.

    A placeholder stands for the results of such a node. `known`: nodes that are not tried, with their
    reasons; these are among what is returned.
    """
    graph = program.graph
    emitter = Emitter(sizes, reasons=dict(known), ranges=program.ranges)
    with hlo.make_context(), ir.Location.unknown():
        _, entry = open_module("trial", ())
        with ir.InsertionPoint(entry.entry_block):
            env: Env = {}
            for item in graph.inputs:
                if isinstance(item, Ref):
                    emitter.bind_placeholder(item.name, graph.values[item.name], env)
            emitter.emit_nodes(graph, graph.nodes, env)
    assert emitter.reasons is not None
    return emitter.reasons


class Emitter:
    """Walks nodes, calling their rules at the current insertion point.

    With `reasons`, a node that does not lower is noted there and its results become placeholders; without,
    Unsupported passes through. Any other error of a rule becomes a RuleError that names the node. `depth`:
    how many graphs this one lies in. `bounds_checks`: whether the module tells of indices out of bounds.
    `ranges`: of the program's symbols.
    """

    def __init__(
        self,
        sizes: Sizes,
        reasons: dict[str, str] | None = None,
        depth: int = 0,
        bounds_checks: bool = True,
        ranges: Mapping[str, Range] = NO_RANGES,
    ) -> None:
        self.sizes = sizes
        self.reasons = reasons
        self.depth = depth
        self.bounds_checks = bounds_checks
        self.ranges = ranges
        self.checks = Checks()

    def emit_nodes(self, graph: Graph, nodes: Iterable[Node], env: Env) -> None:
        """Emit nodes in order; `env` holds the values they read and gains those they define."""
        for node in nodes:
            try:
                with hlo.location(node.name, node.location.frames):
                    if self.reasons is not None and node.name in self.reasons:
                        raise Unsupported(self.reasons[node.name])
                    self.emit_node(graph, node, env)
            except Unsupported as error:
                if self.reasons is None:
                    raise
                self.reasons[node.name] = error.reason
                for result in node.results():
                    self.bind_placeholder(result, graph.values[result], env)
            except RuleError:
                raise
            except Exception as error:
                where = f" ({node.location})" if node.location.stack_trace else ""
                rule = rule_for(node.target)
                raise (rule.mistake if rule else RuleError)(
                    f"node {node.name}, {node.target}{where}: {type(error).__name__}: {error}"
                ) from error

    def emit_node(self, graph: Graph, node: Node, env: Env) -> None:
        results = list(node.results())
        types = [graph.values[name] for name in results]
        if is_check(node.target):
            self._check(graph, node, env)
            return
        if types and all(isinstance(type_, SymType) for type_ in types):
            if gives_number(graph, node) or not self._is_known(types):
                arguments = [self._argument(value, graph, env) for _, value, _ in node.args]
                (name,), (type_,) = results, types
                assert isinstance(type_, SymType)
                env[name] = number_of(Context(self, node, (), graph), node, type_, arguments, self.ranges)
            return
        if not results and rule_for(node.target) is None:
            raise Unsupported("run for its effect alone, and StableHLO has none")
        outs = tuple(concrete(type_, self.sizes) for type_ in types)
        cx = Context(self, node, outs, graph)
        arguments = {name: self._argument(value, graph, env) for name, value, _ in node.args if name}
        if is_higher_order(node.target):
            positional = tuple(self._argument(value, graph, env) for name, value, _ in node.args if not name)
        else:
            positional = ()
        check_ranges(cx, node.target, arguments)
        produced = self._run(cx, node.target, positional, arguments)
        for name, value in zip(results, produced, strict=True):
            env[name] = value

    def call(
        self, cx: Context, target: str, args: tuple, kwargs: dict[str, Any], outs: tuple[ConcreteType, ...]
    ) -> Any:
        """`Context.call`: lower another overload with these arguments."""
        names = [parameter.name for parameter in _schema(target).parameters]
        if len(args) > len(names):
            raise RuleError(f"{target} takes {len(names)} arguments, a rule gives it {len(args)}")
        arguments = dict(zip(names, args, strict=False)) | kwargs
        produced = self._run(Context(self, cx.node, outs), target, (), arguments)
        return produced[0] if len(produced) == 1 else tuple(produced)

    def _run(self, cx: Context, target: str, positional: tuple, arguments: dict[str, Any]) -> list[Value]:
        # A rule's refusal stands: torch's own decomposition rounds otherwise than eager (resized bytes,
        # windows of float16), or has no end.
        rule = rule_for(target)
        if rule is None:
            return self._decompose(cx, target, arguments)
        produced = rule.emit(cx, *positional, **_accepted(rule, target, arguments))
        flat = _flatten(produced)
        if not _as_promised(flat, cx.outs):
            actual = [(value.dtype, value.shape) for value in flat]
            expected = [(out.dtype, out.shape) for out in cx.outs]
            raise rule.mistake(
                f"{rule} built {types_text(actual)} for node {cx.node.name!r}, "
                f"the program says {types_text(expected)}"
            )
        return flat

    def _decompose(self, cx: Context, target: str, arguments: dict[str, Any]) -> list[Value]:
        from lowering.stablehlo.decompose import decompose

        if any(map(is_data_number, leaves_of(tuple(arguments.values())))):
            raise Unsupported(f"{target} has no rule, and takes a number that only the data tells")
        graph, operands = decompose(target, arguments, cx.outs)
        return list(self.inline_graph(graph, operands))

    def inline_graph(self, graph: Graph, operands: Sequence[Operand]) -> tuple[Value, ...]:
        """Emit a nested graph's nodes; a node in it that does not lower makes the whole not lower."""
        names = [item.name for item in graph.inputs if isinstance(item, Ref)]
        types = [(name, graph.values[name]) for name in names]
        taken = [n for n, t in types if isinstance(t, TensorType) or not tells(self.sizes, (t,))]
        if len(taken) != len(operands):
            raise Unsupported(f"its graph {graph.name} takes {len(taken)} tensors, given {len(operands)}")
        if self.depth == MAX_DEPTH:
            raise Unsupported(f"graphs lie more than {MAX_DEPTH} deep in graphs")
        env: Env = dict(zip(taken, operands, strict=True))
        inner = Emitter(
            self.sizes, depth=self.depth + 1, bounds_checks=self.bounds_checks, ranges=self.ranges
        )
        inner.checks = self.checks
        for node in graph.nodes:
            frames = node.location.frames
            # Nodes of torch's decomposition have the line of the decomposed node.
            place = hlo.location(node.name, frames) if frames else hlo.current_location()
            try:
                with place:
                    inner.emit_node(graph, node, env)
            except Unsupported as error:
                raise Unsupported(f"{node.target}: {error.reason}") from None
        results = [self._argument(item, graph, env) for item in graph.outputs]
        if not all(isinstance(value, Value) for value in results):
            raise Unsupported("a nested graph returns a value that is not a tensor")
        return tuple(results)

    def add_check(self, node: Node, failed: Value, check: Check) -> None:
        """Have the module return whether this failed; the error will name the node and its source line."""
        where = f" ({node.location})" if node.location.stack_trace else ""
        message = f"node {node.name}, {node.target}{where}: {check.message}"
        self.checks.add(Check(check.kind, message), failed)

    def layout_of(self, type_: TensorType) -> tuple[tuple[int, ...], int]:
        """Concrete strides and storage offset of a tensor."""
        terms = (*type_.strides, type_.offset)
        *strides, offset = (cast(int, scalar_of(term, self.sizes)) for term in terms)
        return tuple(strides), offset

    def bind_placeholder(self, name: str, type_: ValueType, env: Env) -> None:
        """A value of the right type that nothing made; none where StableHLO has no such type."""
        if isinstance(type_, SymType):
            if not self._is_known((type_,)):
                env[name] = DataNumber(constant(0, type_.kind.element))
            return
        try:
            out = concrete(type_, self.sizes)
            env[name] = constant(0, out.dtype, out.shape)
        except Unsupported:
            env.pop(name, None)

    def _is_known(self, types: Sequence[ValueType]) -> bool:
        """Whether the sizes tell the values of symbolic scalars; else the data does."""
        if not tells(self.sizes, types):
            return False
        for type_ in types:
            assert isinstance(type_, SymType)
            scalar_of(type_.value, self.sizes)
        return True

    def _check(self, graph: Graph, node: Node, env: Env) -> None:
        """A node that only checks. Unsupported where it reads what is not known, or where it does not hold:
        ATen then raises what eager raises. Of a number from the data it becomes a check of the module."""
        arguments = {name: self._argument(value, graph, env) for name, value, _ in node.args}
        if any(map(is_data_number, arguments.values())):
            check_number(Context(self, node, (), graph), graph, node, arguments)
        elif not _holds(arguments):
            raise Unsupported("an assertion that does not hold at these sizes")

    def _argument(self, arg: Arg, graph: Graph, env: Env) -> Any:
        """An IR argument as a rule sees it: Values, tuples, Python scalars, enums, nested graphs."""
        if isinstance(arg, Ref):
            type_ = graph.values[arg.name]
            if isinstance(type_, SymType) and arg.name not in env:
                return scalar_of(type_.value, self.sizes)
            if arg.name not in env:
                concrete(type_, self.sizes)
                raise Unsupported(
                    f"reads {arg.name}, a {type_.dtype if isinstance(type_, TensorType) else type_}"
                )
            return env[arg.name]
        if isinstance(arg, tuple):
            return tuple(self._argument(item, graph, env) for item in arg)
        if isinstance(arg, dict):
            return {key: self._argument(item, graph, env) for key, item in arg.items()}
        return arg


def _as_promised(values: Sequence[Value], outs: Sequence[ConcreteType]) -> bool:
    return len(values) == len(outs) and all(
        value.dtype is out.dtype and are_equal(value.shape, out.shape)
        for value, out in zip(values, outs, strict=True)
    )


def _holds(arguments: Mapping[str, Any]) -> bool:
    """Whether an assertion holds. Of numbers: one that is true, or lies in a range. Of a tensor's metadata:
    dtype and sizes; its strides are those that the program says."""
    tensor = arguments.get("a")
    if isinstance(tensor, Value):
        wanted = arguments.get("dtype"), arguments.get("size")
        return wanted[0] in (None, tensor.dtype) and wanted[1] in (None, tensor.shape)
    if "size" not in arguments:
        return bool(arguments["self"])
    size, low, high = arguments["size"], arguments.get("min"), arguments.get("max")
    return (low is None or size >= low) and (high is None or size <= high)


def _schema(target: str) -> OpSchema:
    found = schema_of(target)
    if found is None:
        raise RuleError(f"the table of ATen overloads has no {target}")
    return found


def _accepted(rule: Rule, target: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments a rule takes, defaults filled in. Others must be immaterial or have their default."""
    found = schema_of(rule.target)
    if found is None:
        return arguments
    extra = rule.accepts - {parameter.name for parameter in found.parameters}
    if extra and rule.mistake is not RuleError:
        names = ", ".join(parameter.name for parameter in found.parameters)
        raise rule.mistake(f"{rule} takes {min(extra)!r}; the arguments of {target} are {names or 'none'}")
    if rule.target != target:
        # An in-place overload on its namesake's rule: `dropout_` calls `self` what `dropout` calls `input`.
        names = zip(_schema(target).parameters, found.parameters, strict=False)
        renamed = {own.name: theirs.name for own, theirs in names}
        arguments = {renamed[name]: value for name, value in arguments.items()}
    bound: dict[str, Any] = {}
    for parameter in found.parameters:
        name, default = parameter.name, parameter.default
        if name in rule.accepts:
            value = arguments.get(name, default)
            if value is REQUIRED:
                raise RuleError(f"{target} is not given {name!r}")
            bound["from_" if name == "from" else name] = value
        elif name in arguments and name not in OPTIONS and not _is_default(arguments[name], default):
            raise Unsupported(f"{name}={arguments[name]!r} is not lowered")
    return bound


def _is_default(value: Any, default: Any) -> bool:
    # `==` between Values would build an operation.
    if isinstance(value, tuple) and isinstance(default, tuple):
        return len(value) == len(default) and all(map(_is_default, value, default))
    return not isinstance(value, Value | tuple) and bool(value == default)


def _flatten(produced: Any) -> list[Value]:
    if isinstance(produced, Value):
        return [produced]
    if produced is None:
        return []
    return [value for item in produced for value in _flatten(item)]
