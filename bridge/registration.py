"""Operators that are not torch's own: how they are lowered, and whether they exist at all.

    @bridge.register_lowering("my::scale")
    def scale(cx, x, factor):
        return x * factor

A package brings its own through an entry point of the group `bridge.operators`, named like the namespace of
its operators. Its value is a module, or a function without arguments, which registers them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from typing import Any, TypeVar

from bridge.errors import BridgeError, OperatorRefused, UsageError, first_line
from lowering.ir.allowed import refused_node
from lowering.ir.custom_operators import declare
from lowering.ir.facts.namespaces import is_torchs, namespace_of
from lowering.ir.program import Node, Operator, Program, all_nodes, leaves_of
from lowering.stablehlo import registry
from lowering.targets.kernels import Factory, add_kernel, kernel_for

GROUP = "bridge.operators"

_NAME = re.compile(r"([A-Za-z_]\w*)::([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?", re.ASCII)
F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound=Factory)


def register_lowering(name: str, *, schema: str | None = None, replace: bool = False) -> Callable[[F], F]:
    """Give an operator a StableHLO rule: `name` is `my::op` (its default overload) or `my::op.overload`.

    The decorated function takes a context (docs/reference/op-rules.md), then arguments by the names of the
    operator's schema, tensors as `Value`. It returns the result's `Value`, or a tuple of them, or raises
    `lowering.stablehlo.errors.Unsupported`. An operator that writes arguments also returns their new values,
    after its own results. `schema`: of an operator that torch does not have, as torch writes it, without the
    name: `(Tensor x, float factor=2.0) -> Tensor`. `replace`: whether another registration may go.

    Raises UsageError for a name that is malformed or taken, a schema that is malformed, and a function that
    takes no such arguments.
    A result with other dtypes or sizes than the program's is an OperatorError when the operator is lowered.
    """
    return _registering(name, schema, replace, context=True)


def register_decomposition(
    name: str, *, schema: str | None = None, replace: bool = False
) -> Callable[[F], F]:
    """Say what an operator is in terms of others: a function of torch tensors, traced when it is lowered.

    It takes the operator's arguments by the names of its schema, and returns and writes as the operator does.
    Of an operator that torch does not have, it is the kernel too. `name`, `schema`, `replace` and errors: as
    for `register_lowering`.
    """
    return _registering(name, schema, replace, context=False)


def register_kernel(name: str, *, schema: str | None = None, replace: bool = False) -> Callable[[K], K]:
    """Say how an operator runs where no rule lowers it. `name` and `schema`: as for `register_lowering`.

    The decorated function is called when a program is compiled or loaded, once for each node of the operator.
    It gets the node, its constants and the device, `cpu`. It returns the kernel. That takes the operator's
    arguments by name, tensors as torch's, defaults filled in, and returns and writes as the operator does.

    Constants are the arguments that are the same in each call, by name: literals, and weights that the
    program does not write. The reference of `verify` has literals alone. A kernel that gives another dtype or
    other sizes than the program's is an ExecutionError.

    Operators of torch cannot have one. Raises UsageError as `register_lowering` does.
    """
    target = target_of(name)
    if is_torchs(target):
        raise UsageError(f"{name} is an operator of torch, which has its kernel")

    def register(function: K) -> K:
        if not callable(function):
            raise UsageError(
                f"{name}: {type(function).__name__} is not a function; use this as a decorator of one"
            )
        taken = kernel_for(target)
        if taken is not None and not replace:
            own = registry.described(taken)
            raise UsageError(f"{name} has the kernel {own} already; replace=True takes this one instead")
        _declare(name, target, schema)
        add_kernel(target, function)
        return function

    return register


def _declare(name: str, target: str, schema: str | None) -> None:
    if schema is None:
        return
    if is_torchs(target):
        raise UsageError(f"{name} is an operator of torch, which has its schema")
    try:
        declare(target, schema)
    except ValueError as error:
        raise UsageError(f"{name}: {error}; write it like (Tensor x, float factor=2.0) -> Tensor") from None


def _registering(name: str, schema: str | None, replace: bool, context: bool) -> Callable[[F], F]:
    target = target_of(name)

    def register(function: F) -> F:
        _check_parameters(function, name, context)
        if is_torchs(target):
            registry.load_families()
        taken = registry.exact_rule(target) or registry.decomposition_for(target)
        if taken is not None and not replace:
            kind, what = (
                ("rule", taken.emit) if isinstance(taken, registry.Rule) else ("decomposition", taken)
            )
            own = registry.described(what)
            raise UsageError(f"{name} has the {kind} {own} already; replace=True takes this one instead")
        _declare(name, target, schema)
        registry.forget(target)
        if context:
            registry.add_rules([(target, function)])
        else:
            registry.add_decomposition(target, function)
            if schema is not None and kernel_for(target) is None:
                add_kernel(target, lambda node, constants, device: function)
        return function

    return register


def target_of(name: str) -> str:
    """`my::op` as a program has it, `my.op.default`. Raises UsageError for a name that an operator cannot
    have."""
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise UsageError(f'{name!r} is not an operator\'s name; write it like "my::op" or "my::op.overload"')
    namespace, operator, overload = found.groups()
    return f"{namespace}.{operator}.{overload or 'default'}"


def _check_parameters(function: Any, name: str, context: bool) -> None:
    if not callable(function):
        raise UsageError(
            f"{name}: {type(function).__name__} is not a function; use this as a decorator of one"
        )
    parameters = list(signature(function).parameters.values())
    if context and (not parameters or parameters[0].kind is Parameter.KEYWORD_ONLY):
        raise UsageError(f"{name}: {registry.described(function)} takes no context as its first argument")
    named = parameters[1:] if context else parameters
    for parameter in named:
        if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise UsageError(
                f"{name}: {registry.described(function)} takes {parameter}; name the operator's arguments"
            )


def bring_operators(program: Program) -> None:
    """Have the installed packages register what the program names and nothing is known of.

    Raises BridgeError where a package's entry point fails.
    """
    for node in all_nodes(program.graph.nodes):
        for target in _targets(node):
            bring(target)


def bring(target: str) -> None:
    """Have the package of an operator's namespace register it, if nothing has. Raises BridgeError."""
    if is_torchs(target) or target.count(".") != 2:
        return
    known = (registry.exact_rule, registry.decomposition_for, kernel_for)
    if all(table(target) is None for table in known):
        _load(namespace_of(target))


def check_allowed(program: Program) -> None:
    """Raise OperatorRefused, naming node and source line, for a node that a file may not have.

    That is one which no rule lowers and ATen may not run.
    """
    for node in all_nodes(program.graph.nodes):
        why = refused_node(node)
        if why is None or registry.decomposition_for(node.target) or registry.rule_for(node.target):
            continue
        where = f" ({node.location})" if str(node.location) else ""
        raise OperatorRefused(f"node {node.name}{where}: {why}; export the model without it")


def check_operators(program: Program) -> None:
    """Raise BridgeError, naming node and source line, for an operator that nothing has registered."""
    from lowering.ir.custom_operators import schema_of

    for node in all_nodes(program.graph.nodes):
        for target in _targets(node):
            if is_torchs(target) or schema_of(target) is not None:
                continue
            where = f" ({node.location})" if str(node.location) else ""
            raise BridgeError(
                f"node {node.name}{where}: custom operator {target} is not registered: import the module "
                "that defines it (imports=[...], on the command line --import <module>)"
            )


@cache
def _load(namespace: str) -> None:
    """Load a namespace's entry points, once. A failure is not remembered: a later call tries again."""
    for point in entry_points(group=GROUP, name=namespace):
        try:
            loaded = point.load()
            if callable(loaded):
                loaded()
        except Exception as error:  # a package's own code runs, and may raise anything
            raise BridgeError(
                f"{_described(point)} cannot be loaded: {type(error).__name__}: {first_line(error)}"
            ) from error


def _described(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return f"the entry point {point.name} = {point.value}{package}, for the operators {point.name}::*,"


def _targets(node: Node) -> Iterator[str]:
    """The operators that a node calls: its own, and one that it is given."""
    yield node.target
    for argument in node.args:
        yield from (item.target for item in leaves_of(argument.value) if isinstance(item, Operator))
