"""Running IR nodes on ATen, one after the other, each as the closure that it was compiled to.

This module imports torch; only what needs ATen imports it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from time import perf_counter
from typing import Any, NoReturn

import torch

from lowering.ir.facts.checks import asserts_number
from lowering.ir.program import Graph, Node, Ref
from lowering.ir.uses import input_names, last_uses, made_by
from lowering.targets.aten import operators
from lowering.targets.aten.assertions import told
from lowering.targets.aten.closures import Compiler
from lowering.targets.aten.control_flow import Symbols
from lowering.targets.aten.program import InPlace
from lowering.targets.aten.symbol_binding import Env, Step
from lowering.targets.errors import ExecutionError, ExecutionIndexError, UnknownOperator, linear_algebra_error
from lowering.targets.target import Record

NO_CONSTANTS: Mapping[str, torch.Tensor] = {}
NOT_IN_PLACE: InPlace = {}


class Routine:
    """Nodes of one graph, compiled once: `routine(env, symbols)` reads and writes values by name in `env`.

    `constants`: values that never change between calls; they become part of the closures and need not be in
    `env`. `in_place`: by node, arguments that it writes to rather than to a copy. The list `env[ROLLBACK]`
    gets functions that take the writes back. A value that is made here is dropped from `env` after its last
    use unless it is in `keep`. `ours`: the nodes are not a file's: each was admitted, or put in the place of
    such ones. Unbacked symbols are bound in `symbols` as soon as a value shows them. Every operator is
    resolved when the routine is made, so a missing one raises UnknownOperator before anything runs.
    """

    def __init__(
        self,
        graph: Graph,
        nodes: Sequence[Node],
        keep: Collection[str],
        constants: Mapping[str, torch.Tensor] = NO_CONSTANTS,
        in_place: InPlace = NOT_IN_PLACE,
        ours: bool = False,
    ) -> None:
        self.nodes = tuple(nodes)
        if not ours:
            admit(nodes)
        self._graph = graph
        computed = {*input_names(graph), *made_by(nodes)}
        compiler = Compiler(graph.values, computed, Nested, constants, in_place)
        steps = [compiler.node(node) for node in nodes]
        dead = last_uses(nodes, keep)
        self.steps = tuple(zip(steps, dead, strict=True))

    def __call__(self, env: Env, symbols: Symbols) -> None:
        """Run under no_grad. Raises ExecutionError, or its kin for ATen's IndexError and LinAlgError."""
        # To switch takes as long as a small operator: the caller of many routines has done so.
        if torch.is_grad_enabled():
            with torch.no_grad():
                self._run(env, symbols)
        else:
            self._run(env, symbols)

    def timed(self, record: Record) -> Routine:
        """The same routine, which records when each of its nodes ran."""
        clone = copy(self)
        clone.steps = tuple(
            (_timed(node, step, record), dead)
            for node, (step, dead) in zip(self.nodes, self.steps, strict=True)
        )
        return clone

    def _run(self, env: Env, symbols: Symbols) -> None:
        done = 0
        try:
            for step, dead in self.steps:
                step(env, symbols)
                for name in dead:
                    del env[name]
                done += 1
        except ExecutionError:
            raise
        except Exception as error:
            node = self.nodes[done]
            if asserts_number(node.target) and (text := told(str(error), self._graph, symbols)):
                raise ExecutionError(text) from error
            _fail(node, error)


def admit(nodes: Sequence[Node]) -> None:
    """Raise UnknownOperator, naming the node, for a node that a file may not have ATen run."""
    for node in nodes:
        try:
            operators.admit(node)
        except UnknownOperator as error:
            where = f" ({node.location})" if str(node.location) else ""
            raise UnknownOperator(f"node {node.name}{where}: {error}") from None


def _timed(node: Node, step: Step, record: Record) -> Step:
    def run(env: Env, symbols: Symbols) -> None:
        start = perf_counter()
        step(env, symbols)
        record(node, start, perf_counter())

    return run


def _fail(node: Node, error: Exception) -> NoReturn:
    where = f" ({node.location})" if str(node.location) else ""
    kind = ExecutionError
    if isinstance(error, IndexError):
        kind = ExecutionIndexError
    elif isinstance(error, torch.linalg.LinAlgError):  # pyright: ignore[reportPrivateImportUsage]
        kind = linear_algebra_error()
    raise kind(f"node {node.name}, {node.target}{where}: {type(error).__name__}: {error}") from error


class Function:
    """A graph as a callable over its inputs' values: `function(symbols, *values)` gives its outputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names = [item.name if isinstance(item, Ref) else None for item in graph.inputs]
        kept = {item.name for item in graph.outputs if isinstance(item, Ref)}
        self.routine = Routine(graph, graph.nodes, kept)
        reader = Compiler(graph.values, {*input_names(graph), *made_by(graph.nodes)}, Nested)
        self.outputs = [reader.reader(output) for output in graph.outputs]

    def __call__(self, symbols: Symbols, *values: Any) -> list[Any]:
        if len(values) != len(self.names):
            raise ValueError(
                f"graph {self.graph.name} takes {len(self.names)} values, {len(values)} were given"
            )
        env = {name: value for name, value in zip(self.names, values, strict=True) if name is not None}
        self.routine(env, symbols)
        return [read(env, symbols) for read in self.outputs]


class Nested(Function):
    """A graph in a graph, which may run many times: numbers that it takes out of the data are its own."""

    def __call__(self, symbols: Symbols, *values: Any) -> list[Any]:
        return super().__call__(dict(symbols), *values)


def run_graph(graph: Graph, env: Mapping[str, Any], symbols: Symbols) -> list[Any]:
    """Run a graph. `env`: its inputs' values by name; `symbols`: sizes by symbol, extended by what is found.

    Returns one value per graph output. Mutations happen in place on the given tensors.
    """
    function = Function(graph)
    return function(symbols, *(env[item.name] if isinstance(item, Ref) else item for item in graph.inputs))
