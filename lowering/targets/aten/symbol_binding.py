"""Sizes and numbers that only running tells: the symbols of a node's results, from the results themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch

from lowering.ir.facts.data import depends_on_data
from lowering.ir.facts.higher_order import branches
from lowering.ir.program import Node
from lowering.ir.symbol_solving import solve
from lowering.ir.symbols import Expr, Symbol, Term, evaluate, free_symbols, is_unbacked
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.targets.aten.control_flow import Symbols

Env = MutableMapping[str, Any]
Step = Callable[[Env, Symbols], None]


def symbol_bindings(node: Node, values: Mapping[str, ValueType]) -> Iterator[Step]:
    """How the symbols that appear in this node's results get their values."""
    from_data = depends_on_data(node.target)
    chosen = bool(branches(node.target))
    for place, name in enumerate(node.results()):
        value = values.get(name)
        # Branches may give different sizes, of which the exporter took one. Of further results of others,
        # `unique_consecutive`'s, torch promises other sizes than eager gives.
        checked = chosen or (from_data and place == 0)
        if isinstance(value, SymType) and (from_data or isinstance(value.value, Expr)):
            yield _binding(name, "", value.value, lambda number: number, checked)
        elif isinstance(value, TensorType):
            for axis, size in enumerate(value.sizes):
                if checked or any(map(is_unbacked, free_symbols(size))):
                    yield _binding(name, f"dim {axis} of ", size, _size(axis), checked)
            if any(map(is_unbacked, free_symbols(value.offset))):
                yield _binding(name, "the offset of ", value.offset, torch.Tensor.storage_offset, False)


def _size(axis: int) -> Callable[[torch.Tensor], int | None]:
    """A tensor's size; None where it has no such axis, as torch promises more than `unique_consecutive` makes
    of nothing."""
    return lambda tensor: tensor.shape[axis] if axis < tensor.dim() else None


def _binding(name: str, what: str, term: Term, observe: Callable[[Any], Any], checked: bool) -> Step:
    """Bind the one symbol of `term` that is not known yet from what is observed of a value.

    `checked`: where all are known, as the exporter was told that a size equals another, see that it does.
    """
    free = sorted(free_symbols(term))

    def bind(env: Env, symbols: Symbols) -> None:
        unknown = [symbol for symbol in free if symbol not in symbols]
        if not (checked or unknown):
            return
        observed = observe(env[name])
        if observed is None:
            return
        if not unknown and observed != (expected := evaluate(term, symbols)):
            raise ValueError(f"{what}{name} is {observed}, the program takes {expected}")
        if len(unknown) != 1:
            return
        solution = observed if isinstance(term, Symbol) else solve(term, int(observed), unknown[0], symbols)
        if solution is not None:
            symbols[unknown[0]] = solution

    return bind
