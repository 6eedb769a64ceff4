"""Nodes as closures over their resolved operators and templates of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lowering.ir.facts.higher_order import AUTOCAST
from lowering.ir.facts.namespaces import is_higher_order
from lowering.ir.program import Arg, Argument, Graph, Node, Operator, Ref
from lowering.ir.symbols import evaluate
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.targets.aten import operators
from lowering.targets.aten.arguments import checked
from lowering.targets.aten.control_flow import Symbols, higher_order
from lowering.targets.aten.kernels import KernelOperator, with_checked_results
from lowering.targets.aten.program import InPlace
from lowering.targets.aten.rollback import prepare, saver, writer
from lowering.targets.aten.symbol_binding import Env, Step, symbol_bindings
from lowering.targets.errors import UnknownOperator
from lowering.targets.target import ROLLBACK

Reader = Callable[[Env, Symbols], Any]


@dataclass(frozen=True, slots=True)
class Compiler:
    """Turns nodes into closures.

    `computed`: names that are given or that these nodes make. `nested`: gives a graph among the arguments as
    a callable. `constants`, `in_place`: see `lowering.targets.aten.routine.Routine`.
    """

    values: Mapping[str, ValueType]
    computed: Collection[str]
    nested: Callable[[Graph], Callable[..., Any]]
    constants: Mapping[str, torch.Tensor] = field(default_factory=dict)
    in_place: InPlace = field(default_factory=dict)

    def node(self, node: Node) -> Step:
        """A function that runs the node. Raises UnknownOperator."""
        if is_higher_order(node.target):
            arguments = [self.reader(argument.value) for argument in self.placed(node)]
            names = [argument.name if argument.keyword else "" for argument in node.args]
            function = higher_order(node.target)

            def run(env: Env, symbols: Symbols) -> Any:
                given = [read(env, symbols) for read in arguments]
                named = {name: value for name, value in zip(names, given, strict=True) if name}
                plain = [value for name, value in zip(names, given, strict=True) if not name]
                return function(symbols, *plain, **named)

            return self.bind_outputs(node, run, returns=2)
        scalar = operators.SCALAR.get(node.target)
        if scalar is not None:
            call = self.call(scalar, [argument.value for argument in node.args], {})
            return self.bind_outputs(node, call, returns=1)
        try:
            op = operators.resolve(node.target)
        except UnknownOperator as error:
            where = f" ({node.location})" if str(node.location) else ""
            raise UnknownOperator(f"node {node.name}{where}: {error}") from None
        positional, keyword = _by_position(self.placed(node), op)
        is_kernel = isinstance(op, KernelOperator)
        if is_kernel:
            op = op.made(node, self.lasting(op, positional, keyword))
        returns = len(op._schema.returns)
        is_functional = node.functional or node.name in self.in_place
        if is_functional:
            call = self.functional(node, op, positional, keyword)
        else:
            call = self.call(checked(node.target, op, op), positional, keyword)
        if is_kernel:
            call = with_checked_results(node, self.values, call, returns)
        return self.bind_outputs(node, call, 2 if is_functional else returns)

    def lasting(
        self, op: KernelOperator, positional: Sequence[Arg], keyword: Mapping[str, Arg]
    ) -> dict[str, Any]:
        """The arguments that are the same in each call, by name."""
        names = [argument.name for argument in op._schema.arguments]
        given = {**dict(zip(names, positional, strict=False)), **keyword}
        lasting = {name: self.constant(arg) for name, arg in given.items() if not self.varies(arg)}
        return {name: value for name, value in op.defaults.items() if name not in given} | lasting

    def placed(self, node: Node) -> Sequence[Argument]:
        """A node's arguments for the CPU, wherever the program was exported.

        Memory is not pinned for a copy to a device. Autocast for a device that has tensors is for the CPU's.
        """
        if node.target == AUTOCAST:
            device, *rest = node.args
            here = any(
                isinstance(t, TensorType) and t.device.type == device.value for t in self.values.values()
            )
            return [device._replace(value="cpu") if here else device, *rest]
        return [a._replace(value=False) if a.name == "pin_memory" and a.value else a for a in node.args]

    def reader(self, arg: Arg) -> Reader:
        """A function that gives an argument's value at run time."""
        if not self.varies(arg):
            literal = self.constant(arg)
            return lambda env, symbols: literal
        if isinstance(arg, Ref):
            name = arg.name
            type_ = self.values.get(name)
            if self.is_free(name) and isinstance(type_, SymType):
                term = type_.value
                return lambda env, symbols: env[name] if name in env else evaluate(term, symbols)
            return lambda env, symbols: env[name]
        if isinstance(arg, tuple):
            readers = [self.reader(item) for item in arg]
            return lambda env, symbols: [read(env, symbols) for read in readers]
        if isinstance(arg, dict):
            items = {key: self.reader(item) for key, item in arg.items()}
            return lambda env, symbols: {key: read(env, symbols) for key, read in items.items()}
        if isinstance(arg, Graph):
            function = self.nested(arg)
            return lambda env, symbols: function
        if isinstance(arg, Operator):
            op = operators.resolve(arg.target)
            # Functions that take an operator call it as it is.
            if checked(arg.target, op, op) is not op:
                raise UnknownOperator(f"{arg.target} is checked before each call, and cannot be an argument")
            return lambda env, symbols: op
        raise UnknownOperator(f"an argument of type {type(arg).__name__} cannot be run on ATen")

    def is_free(self, name: str) -> bool:
        """Whether a value is a scalar that none of these nodes computes: of another segment, or of nobody."""
        return name not in self.computed and isinstance(self.values.get(name), SymType)

    def varies(self, arg: Arg) -> bool:
        """Whether an argument has to be read at run time."""
        if isinstance(arg, tuple):
            return any(self.varies(item) for item in arg)
        if isinstance(arg, Ref):
            return arg.name not in self.constants
        return isinstance(arg, (Graph, Operator, dict))

    def constant(self, arg: Arg) -> Any:
        if isinstance(arg, tuple):
            return [self.constant(item) for item in arg]
        return self.constants[arg.name] if isinstance(arg, Ref) else operators.constant(arg)

    def call(self, op: Callable[..., Any], positional: Sequence[Arg], keyword: Mapping[str, Arg]) -> Reader:
        """A call whose constant arguments are in a template and whose others are filled in."""
        template = [None if self.varies(arg) else self.constant(arg) for arg in positional]
        named = {name: None if self.varies(arg) else self.constant(arg) for name, arg in keyword.items()}
        simple, fills = [], []
        for index, arg in enumerate(positional):
            if isinstance(arg, Ref) and self.varies(arg) and not self.is_free(arg.name):
                simple.append((index, arg.name))
            elif self.varies(arg):
                fills.append((index, self.reader(arg)))
        named_fills = [(name, self.reader(arg)) for name, arg in keyword.items() if self.varies(arg)]
        if len(simple) == len(template) == 1 and not named:
            only = simple[0][1]
            return lambda env, symbols: op(env[only])

        def call(env: Env, symbols: Symbols) -> Any:
            args = template[:]
            for index, name in simple:
                args[index] = env[name]
            for index, read in fills:
                args[index] = read(env, symbols)
            if not named:
                return op(*args)
            kwargs = dict(named)
            for name, read in named_fills:
                kwargs[name] = read(env, symbols)
            return op(*args, **kwargs)

        return call

    def functional(
        self, node: Node, op: Any, positional: Sequence[Arg], keyword: Mapping[str, Arg]
    ) -> Reader:
        """The operator on copies of what it writes; its own results, then the copies it does not return.

        An argument that the node may write in place is not copied; then `op` may be functional.
        """
        names = [argument.name for argument in op._schema.arguments]
        given = {**dict(zip(names, positional, strict=False)), **keyword}
        readers = {name: self.reader(arg) for name, arg in given.items()}
        in_place = self.in_place.get(node.name, frozenset())
        writes, also = operators.written(node, op) if node.functional else (tuple(in_place), ())
        run = checked(node.target, op, op if node.functional else writer(node.target))
        save, returns = saver(node.target), len(op._schema.returns)

        def call(env: Env, symbols: Symbols) -> tuple[Any, ...]:
            kwargs = {name: read(env, symbols) for name, read in readers.items()}
            for name in writes:
                if name in in_place:
                    kwargs[name], rollback = prepare(save, kwargs[name], kwargs)
                    if rollback is not None:
                        env[ROLLBACK].append(rollback)
                else:
                    kwargs[name] = _copy(kwargs[name])
            result = run(**kwargs)
            own = () if returns == 0 else (result,) if returns == 1 else tuple(result)
            return (*own, *(kwargs[name] for name in also))

        return call

    def bind_outputs(self, node: Node, call: Reader, returns: int) -> Step:
        """Store a call's results under the node's output names. `returns`: how many; several are a tuple."""
        outputs = node.outputs
        bindings = list(symbol_bindings(node, self.values))
        if not outputs:
            return lambda env, symbols: _discard(call(env, symbols))
        if len(outputs) == 1 and isinstance(outputs[0], str) and returns == 1:
            name = outputs[0]

            def single(env: Env, symbols: Symbols) -> None:
                env[name] = call(env, symbols)

            return _then(single, bindings)

        def several(env: Env, symbols: Symbols) -> None:
            result = call(env, symbols)
            results = (result,) if returns == 1 or not isinstance(result, (tuple, list)) else result
            if len(results) != len(outputs):
                raise ValueError(f"returned {len(results)} values, the program names {len(outputs)}")
            for output, value in zip(outputs, results, strict=True):
                _store(env, output, value)

        return _then(several, bindings)


def _discard(_: Any) -> None:
    return None


def _then(step: Step, bindings: Sequence[Step]) -> Step:
    if not bindings:
        return step

    def both(env: Env, symbols: Symbols) -> None:
        step(env, symbols)
        for bind in bindings:
            bind(env, symbols)

    return both


def _store(env: Env, output: Any, value: Any) -> None:
    if isinstance(output, str):
        env[output] = value
    elif output is not None:
        if len(output) != len(value):
            raise ValueError(f"returned a list of {len(value)} values, the program names {len(output)}")
        for name, item in zip(output, value, strict=True):
            if name is not None:
                env[name] = item


def _copy(value: Any) -> Any:
    return [item.clone() for item in value] if isinstance(value, (list, tuple)) else value.clone()


def _by_position(args: Sequence[Argument], op: Any) -> tuple[list[Arg], dict[str, Arg]]:
    """Arguments split as torch takes them: the schema's leading ones by position, the rest by name."""
    schema = op._schema.arguments
    positional: list[Arg] = []
    keyword: dict[str, Arg] = {}
    for index, argument in enumerate(args):
        place = schema[index] if index < len(schema) and not keyword else None
        if place is not None and not place.kwarg_only and argument.name in ("", place.name):
            positional.append(argument.value)
        elif argument.name:
            keyword[argument.name] = argument.value
        else:
            raise UnknownOperator(f"{op} takes {len(schema)} arguments, the program gives {len(args)}")
    return positional, keyword
