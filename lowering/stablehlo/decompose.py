"""The decomposition of one operator, torch's own or a registered one, as an IR graph of operators with rules.

The only file that touches make_fx, FakeTensorMode and torch's tables of decompositions. torch is imported
once a node without a rule is met, not before. `smoke` checks the surfaces of torch that this file uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from lowering.host.tensors import torch_dtype
from lowering.host.tracing import TRACING
from lowering.ir.allowed import refusal
from lowering.ir.aten import schema
from lowering.ir.custom_operators import declared, schema_of
from lowering.ir.facts.data import tags_depend_on_data
from lowering.ir.facts.effects import is_random
from lowering.ir.facts.namespaces import is_higher_order
from lowering.ir.facts.twins import functional_twin
from lowering.ir.program import Graph
from lowering.ir.types import Device, DType, Layout, MemoryFormat
from lowering.stablehlo.context import ConcreteType
from lowering.stablehlo.decomposed_graph import LAPACK, NO_WAY, OF_LAPACK, RANDOM, Traced, Translation
from lowering.stablehlo.errors import OperatorError, Unsupported
from lowering.stablehlo.registry import (
    changes,
    decomposition_for,
    decompositions,
    described,
    rule_for,
)
from lowering.stablehlo.value import Value, array, types_text

if TYPE_CHECKING:
    import torch
    from torch import fx


def decompose(
    target: str, arguments: dict[str, Any], outs: Sequence[ConcreteType]
) -> tuple[Graph, list[Value]]:
    """A graph that computes `target(**arguments)` by operators with rules, and its operands in order.

    `arguments` by schema name, as a rule gets them; `outs` are the types of the results. Operands are the
    tensors among the arguments, in order of first use, then the constants of the decomposition. Raises
    Unsupported, with a reason, where torch's decomposition is missing, fails, or needs an operator without a
    rule. Raises OperatorError where a registered one fails or is wrong.
    """
    if is_higher_order(target):
        raise Unsupported("a control-flow operator without a rule")
    operands: list[Value] = []
    frozen = {name: _freeze(value, operands) for name, value in arguments.items()}
    traced = _trace(_Call(target, repr(frozen), frozen))
    actual = [(out.dtype, out.sizes) for out in traced.outputs]
    expected = [(out.dtype, out.shape) for out in outs]
    if actual != expected:
        own = decomposition_for(target)
        if own is not None:
            raise OperatorError(
                f"the decomposition {described(own)} of {target} gives {types_text(actual)}, "
                f"the program says {types_text(expected)}"
            )
        raise Unsupported(f"torch's own decomposition of {target} gives results of other types")
    return traced.graph, operands + [array(data) for data in traced.constants]


@dataclass(frozen=True, slots=True)
class _Slot:
    """Stands for the operand with this number and type."""

    number: int
    dtype: DType
    shape: tuple[int, ...]


def _freeze(value: Any, operands: list[Value]) -> Any:
    """An argument with its tensors taken out into `operands`; the rest has a `repr` that identifies it."""
    if isinstance(value, Value):
        operands.append(value)
        return _Slot(len(operands) - 1, value.dtype, value.shape)
    if isinstance(value, tuple | list):
        return tuple(_freeze(item, operands) for item in value)
    return value


@dataclass(frozen=True, slots=True)
class _Call:
    """The key of a trace. Compared by text: 1, 1.0 and True are equal values, but not equal calls."""

    target: str
    text: str
    arguments: dict[str, Any] = field(compare=False)
    changes: int = field(default_factory=changes)


@lru_cache(maxsize=1024)
def _trace(call: _Call) -> Traced:
    try:
        op = _resolve(call.target)
        module = _traced_module(op, call)
    except ImportError:
        raise Unsupported("no rule, and torch, which may know a decomposition, is not installed") from None
    return Translation(call.target).run(module)


def _resolve(target: str) -> Any:
    """The overload to trace: the functional namesake of one that writes, if there is one.

    A `_Declared` where torch does not have it.
    """
    import torch

    if decomposition_for(target) is None and (why := refusal(target)) is not None:
        raise Unsupported(why)
    op = _operator(target)
    if decomposition_for(target) is not None and (op is not None or declared(target) is not None):
        return op or _Declared(target)
    if op is not None and op._schema.is_mutable:
        op = _operator(functional_twin(target)) or op
    if op is None:
        raise Unsupported(f"no rule, and torch knows no operator {target}")
    tags = {tag.name for tag in op.tags}
    implicit = torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd")
    if is_random(tags) and not implicit:
        raise Unsupported(RANDOM)
    if tags_depend_on_data(tags):
        raise Unsupported("the size of its result depends on the data")
    if not implicit and not op._schema.is_mutable and op not in _table():
        raise Unsupported(LAPACK if target in OF_LAPACK else NO_WAY)
    return op


class _Declared:
    """An operator that torch does not have, and whose schema was declared."""

    tags = ()

    def __init__(self, target: str) -> None:
        import torch

        namespace, name, overload = target.split(".")
        overload = "" if overload == "default" else f".{overload}"
        self._target = target
        self._schema = torch._C.parse_schema(f"{namespace}::{name}{overload}{declared(target)}")

    def __str__(self) -> str:
        return self._target


def _operator(target: str) -> torch._ops.OpOverload | None:
    import torch

    parts = target.split(".")
    if len(parts) != 3:
        return None
    found: Any = torch.ops
    for part in parts:
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


@cache
def _table() -> dict[Any, Callable[..., Any]]:
    """torch's decompositions by overload."""
    from torch._decomp import core_aten_decompositions, decomposition_table

    return {**decomposition_table, **core_aten_decompositions()}


def _registered(op: Any) -> Callable[..., Any] | None:
    """An operator's registered decomposition, with every argument given. torch leaves out arguments that have
    the schema's default, and the function's default may differ."""
    function = decomposition_for(str(op))
    if function is None:
        return None
    declared = op._schema.arguments
    defaults = {a.name: a.default_value for a in declared if a.has_default_value()}

    def call(*args: Any, **kwargs: Any) -> Any:
        positional = {a.name: value for a, value in zip(declared, args, strict=False)}
        return function(**{**defaults, **positional, **kwargs})

    return call


def _whole_table() -> dict[Any, Callable[..., Any]]:
    """torch's decompositions and the registered ones, which come first."""
    mine = {op: _registered(op) for op in map(_operator, decompositions()) if op is not None}
    return {**_table(), **{op: function for op, function in mine.items() if function is not None}}


def _traced_module(op: Any, call: _Call) -> fx.GraphModule:
    """torch's trace of the call: operators with rules are left whole, all others decomposed."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    table = {o: fn for o, fn in _whole_table().items() if o is op or rule_for(str(o)) is None}
    own = _registered(op)
    slots = list(_slots(tuple(call.arguments.values())))
    try:
        with TRACING, FakeTensorMode(), torch.no_grad():
            fakes = [torch.empty(slot.shape, dtype=torch_dtype(slot.dtype)) for slot in slots]
            given = _declared(op, call.arguments)
            written = _written(call) if op._schema.is_mutable else []

            def run(*tensors: torch.Tensor) -> list[Any]:
                if op._schema.is_mutable:
                    tensors = tuple(tensor.clone() for tensor in tensors)
                thawed = {name: _thaw(value, tensors) for name, value in given.items()}
                results = (own or op)(**thawed)
                listed = [results] if isinstance(results, torch.Tensor) else list(results or ())
                return listed + [thawed[name] for name in written]

            traceable = torch.func.functionalize(run, remove="mutations") if op._schema.is_mutable else run
            module = make_fx(traceable, decomposition_table=table)(*fakes)
            if any(_writes(node) for node in module.graph.nodes):
                functional = torch.func.functionalize(module, remove="mutations")
                module = make_fx(functional, decomposition_table=table)(*fakes)
    except Unsupported:
        raise
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        if own is not None:
            given_by = described(decompositions()[call.target])
            failed = f"the decomposition {given_by} of {call.target} fails"
            raise OperatorError(f"{failed}: {type(error).__name__}: {lines[0]}") from error
        raise Unsupported(f"torch's own decomposition of {call.target} fails: {lines[0]}") from None
    module.graph.eliminate_dead_code()
    return module


def _declared(op: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments this overload has: the functional form of one with `out` has none."""
    names = {argument.name for argument in op._schema.arguments}
    return {name: value for name, value in arguments.items() if name in names}


def _written(call: _Call) -> list[str]:
    """The arguments that the call writes and does not return, in schema order (see `Node.functional`)."""
    found = schema(call.target) if decomposition_for(call.target) is None else schema_of(call.target)
    if found is None:
        raise Unsupported("no rule, and an operator outside ATen that writes is not decomposed")
    bound = {p.name: call.arguments.get(p.name, p.default) for p in found.parameters}
    returned = {found.written_return(index) for index in range(len(found.returns))}
    return [name for name in found.written(bound) if name not in returned]


def _slots(value: Any) -> Iterator[_Slot]:
    if isinstance(value, _Slot):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _slots(item)


def _thaw(value: Any, tensors: Sequence[torch.Tensor]) -> Any:
    """A frozen argument as torch takes it. Everything lies on the CPU: devices are not part of StableHLO."""
    import torch

    if isinstance(value, _Slot):
        return tensors[value.number]
    if isinstance(value, tuple):
        return [_thaw(item, tensors) for item in value]
    if isinstance(value, DType):
        return torch_dtype(value)
    if isinstance(value, Device):
        return torch.device("cpu")
    if isinstance(value, Layout | MemoryFormat):
        return getattr(torch, value.value)
    return value


def _writes(node: fx.Node) -> bool:
    found = getattr(node.target, "_schema", None)
    return found is not None and found.is_mutable


def smoke() -> None:
    """Raise unless torch's tracing and decompositions still work as this file needs them."""
    frozen = {"self": _Slot(0, DType.FLOAT32, (2,)), "eps": 0.25}
    traced = _trace(_Call("aten.logit.default", repr(frozen), frozen))
    if not traced.graph.nodes or [out.sizes for out in traced.outputs] != [(2,)]:
        raise RuntimeError("torch's decomposition of aten.logit.default is not what it was")
