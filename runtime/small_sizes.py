"""Sizes of 0 and 1, which the exporter took for 2 or more: whether what it wrote down holds for them.

It writes a squeezed axis of a dynamic size as one that stays, and `x[:2]` as two rows. Eager decides at each
call. So the nodes are run once on torch's fake tensors of such sizes: where a value has another size than the
program says, or an operator refuses, the call runs on ATen, which is eager.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lowering.ir.facts.namespaces import is_python
from lowering.ir.program import Node, Program, Ref
from lowering.ir.symbols import Scalar, SymbolError, evaluate
from lowering.ir.types import SymType, TensorType, ValueType

# Operators that give, of nothing, nothing or the identity of a sum. Of others torch's fake tensors do not
# tell which refuse a tensor of no elements.
_TAKES_NOTHING = frozenset(
    """
    view reshape flatten unflatten transpose permute t mT squeeze unsqueeze expand slice narrow cat stack
    chunk split split_with_sizes clone contiguous detach alias to _to_copy copy fill zero repeat
    repeat_interleave _unsafe_view view_as expand_as tril triu flip pad constant_pad_nd where
    masked_fill sym_size zeros_like ones_like full_like empty_like new_zeros new_ones new_full
    rand_like randn_like
    add sub rsub mul div pow neg abs sign floor ceil round exp log sqrt rsqrt reciprocal sin cos tanh sigmoid
    relu gelu silu leaky_relu elu clamp minimum maximum eq ne lt le gt ge logical_and logical_or logical_not
    bitwise_and bitwise_or bitwise_not erf softmax _softmax log_softmax _log_softmax layer_norm dropout
    linear matmul mm bmm addmm baddbmm sum mean any all cumsum embedding _assert_tensor_metadata
    """.split()
)

# How many combinations of sizes are remembered.
_REMEMBERED = 256


class SmallSizes:
    """Asked at each call of one functional program whether its types hold."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._found: dict[tuple[tuple[str, Scalar], ...], str] = {}

    def problem(self, symbols: Mapping[str, Scalar]) -> str:
        """What does not hold at these values of the inputs' symbols; empty where everything does."""
        if not symbols or min(symbols.values()) >= 2 or self._as_exported(symbols):
            return ""
        key = tuple(symbols.items())
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = _problem(self._program, symbols)
        return self._found[key]

    def _as_exported(self, symbols: Mapping[str, Scalar]) -> bool:
        hints = self._program.hints
        return all(hints.get(name) == value for name, value in symbols.items())


def _problem(program: Program, symbols: Mapping[str, Scalar]) -> str:
    try:
        from torch._subclasses.fake_tensor import FakeTensorMode

        from lowering.targets.aten.routine import Routine
    except ModuleNotFoundError:
        return "sizes below 2 need torch, to check what the exporter took for granted"
    graph, bound = program.graph, dict(symbols)
    try:
        with _quiet(), FakeTensorMode(allow_non_fake_inputs=True):
            env = {
                item.name: _fake(graph.values[item.name], symbols)
                for item in graph.inputs
                if isinstance(item, Ref)
            }
            for node in graph.nodes:
                Routine(graph, [node], graph.values.keys())(env, bound)
                for name in node.results():
                    if problem := _difference(graph.values[name], env[name], bound):
                        return f"{name} {problem}"
                if not _takes_nothing(node) and (empty := _empty(node, env)):
                    return f"{node.name} reads {empty}, which has no elements"
    except Exception as error:  # whatever an operator raises: ATen shall raise it, or show that it does not
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


def _takes_nothing(node: Node) -> bool:
    """Whether an operator does with a tensor of no elements what it does with others."""
    return is_python(node.target) or node.target.split(".")[1].rstrip("_") in _TAKES_NOTHING


def _empty(node: Node, env: Mapping[str, Any]) -> str:
    """The first value without elements that a node reads."""
    return next((name for name in node.refs() if 0 in getattr(env.get(name), "shape", ())), "")


@contextmanager
def _quiet() -> Iterator[None]:
    """torch logs what its fake tensors refuse, which is an answer here."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _fake(type_: ValueType, symbols: Mapping[str, Scalar]) -> Any:
    """A value of this type without elements; in a mode of fake tensors."""
    import torch

    from lowering.host.tensors import torch_dtype

    if isinstance(type_, SymType):
        return evaluate(type_.value, symbols)
    if not isinstance(type_, TensorType):
        return None
    sizes = [int(evaluate(size, symbols)) for size in type_.sizes]
    strides = [int(evaluate(step, symbols)) for step in type_.strides]
    return torch.empty_strided(sizes, strides, dtype=torch_dtype(type_.dtype))


def _difference(type_: ValueType, value: Any, symbols: Mapping[str, Scalar]) -> str:
    """In what a value is other than its type says; what only the data tells is not looked at."""
    try:
        if isinstance(type_, SymType):
            said = evaluate(type_.value, symbols)
            return "" if said == value else f"is {value}, the program says {said}"
        if not isinstance(type_, TensorType):
            return ""
        sizes = [int(evaluate(size, symbols)) for size in type_.sizes]
    except SymbolError:
        return ""
    shape = list(value.shape)
    return "" if shape == sizes else f"has sizes {shape}, the program says {sizes}"
