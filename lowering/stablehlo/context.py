"""`Context`: a rule's view besides its arguments: vocabulary, the node's result types, nested graphs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from lowering.ir.module import Check, CheckKind
from lowering.ir.program import Ref
from lowering.ir.types import DType, TensorType
from lowering.ir.uses import output_names
from lowering.stablehlo.build.contract import Contractions
from lowering.stablehlo.build.elementwise import Elementwise
from lowering.stablehlo.build.index import Indexing
from lowering.stablehlo.build.reduce import Reductions
from lowering.stablehlo.build.regions import Checked, Regions
from lowering.stablehlo.data_number import DataNumber
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Shape, Value

if TYPE_CHECKING:
    from lowering.ir.program import Graph, Node
    from lowering.stablehlo.emit import Emitter


#: A value that a rule is given, or that a nested graph takes.
Operand = Value | DataNumber


@dataclass(frozen=True, slots=True)
class ConcreteType:
    """A result's type at the sizes that are being emitted. None for results that are not tensors."""

    dtype: DType
    shape: Shape


class Vocabulary(Elementwise, Reductions, Indexing, Contractions):
    """The operations that can be built at the current insertion point, by any builder."""


class Context(Vocabulary, Regions):
    """Given to each rule as `cx`."""

    def __init__(
        self, emitter: Emitter, node: Node, outs: tuple[ConcreteType, ...], graph: Graph | None = None
    ) -> None:
        self._emitter = emitter
        self._graph = graph
        self.node = node
        #: The types of all result tensors, lists flattened, in order.
        self.outs = outs

    @property
    def out(self) -> ConcreteType:
        """The type of the only (or first) result."""
        return self.outs[0]

    def layout(self, argument: str) -> tuple[Shape, int]:
        """The strides and storage offset (in elements) that the program records for a tensor argument.

        Values are dense and row-major whatever the program says: only rules about storages ask. Unsupported
        where this lowers no node of the program but a part of one (`call`).
        """
        refs = {name: value for name, value, _ in self.node.args}
        ref = refs.get(argument)
        type_ = self._graph.values.get(ref.name) if self._graph and isinstance(ref, Ref) else None
        if not isinstance(type_, TensorType):
            raise Unsupported("the strides of its input are not known")
        return self._emitter.layout_of(type_)

    def is_read(self, result: int) -> bool:
        """Whether anything reads the node's result of this number; True where that is not known."""
        names = list(self.node.results())
        if self._graph is None or len(names) != len(self.outs):
            return True
        return names[result] in output_names(self._graph) or any(
            names[result] in node.refs() for node in self._graph.nodes
        )

    def call(self, target: str, *args: Any, outs: Sequence[ConcreteType] | None = None, **kwargs: Any) -> Any:
        """Lower another overload in place, with its arguments by name. `outs` default to this node's."""
        return self._emitter.call(self, target, args, kwargs, self.outs if outs is None else tuple(outs))

    def graph(self, graph: Graph, operands: Sequence[Operand]) -> tuple[Value, ...]:
        """Emit a nested graph's nodes here, its inputs bound to `operands`; returns its outputs."""
        return self._emitter.inline_graph(graph, operands)

    def fail_if(self, predicate: Value, message: str, kind: CheckKind = CheckKind.ASSERTION) -> None:
        """Make the call raise this kind's error with this message where any element of a bool tensor is True.

        Later operations still run, on invalid values: see `failed`.
        """
        if kind is not CheckKind.INDEX or self._emitter.bounds_checks:
            failed = self.reduce_or(predicate) if predicate.rank else predicate
            self._emitter.add_check(self.node, failed, Check(kind, message))

    def failed(self) -> Value:
        """Whether any check up to here has failed, a 0-d bool: later values then mean nothing."""
        flags = self._emitter.checks.readable()
        return reduce(operator.or_, flags, self.constant(False, DType.BOOL))

    def collect(self, build: Callable[[], Value | Sequence[Value]]) -> Checked:
        return self._emitter.checks.collect(build)

    def add_checks(self, checks: dict[Check, Value]) -> None:
        self._emitter.checks.update(checks)

    def jax(self, fn: Callable[..., Any], *operands: Value, **static: Any) -> Any:
        """Trace a JAX function on the operands' types (64-bit types kept) and inline what it lowers to.

        `static` arguments are bound before tracing. Returns a Value, or a tuple where `fn` returns one.
        """
        from lowering.stablehlo.inline_jax import inline_for_all_sizes, inline_jax

        if any(any_symbolic(value.shape) for value in operands):
            return inline_for_all_sizes(fn, operands, static)
        return inline_jax(fn, operands, static)

    def jax_elementwise(self, fn: Callable[..., Any], *operands: Value, **static: Any) -> Value:
        """`jax` of a function that works element by element and gives one tensor: operands broadcast."""
        shape = self.broadcast_shapes(*(value.shape for value in operands))
        if any_symbolic(shape):
            operands = tuple(self.broadcast(value, shape) for value in operands)
        return self.jax(fn, *operands, **static)
