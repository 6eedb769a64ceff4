"""Whether a program can be called with some sizes at all. Planning asks it of the ends of the ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lowering.ir.program import Program
from lowering.ir.symbols import (
    Dim,
    SymbolError,
    Term,
    UnboundSymbol,
    evaluate,
    free_symbols,
    substituted,
)
from lowering.ir.types import TensorType

# `L['x'].size()[0]`, `L['xs'][0]['a'].size()[2]`: the input `xs_0_a`, axis 2.
_SIZE = re.compile(r"L((?:\['?[^\[\]']+'?\])+)\.size\(\)\[(\d+)\]")
_KEY = re.compile(r"\['?([^\[\]']+)'?\]")


def admits(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether every tensor has sizes, and every guard that can be told from them holds.

    Guards say more than ranges: `s0 % 4 == 0` excludes the lower end 2. A guard that names something outside
    the inputs, or an unbound symbol, is taken to hold.
    """
    try:
        return _has_sizes(program, sizes) and _holds(program, sizes)
    except SymbolError:
        return False


def _has_sizes(program: Program, sizes: Mapping[str, int]) -> bool:
    terms = {
        size
        for type_ in program.graph.values.values()
        if isinstance(type_, TensorType)
        for size in type_.sizes
        if not isinstance(size, int)
    }
    for term in terms:
        try:
            value = evaluate(term, sizes)
        except UnboundSymbol:
            continue
        if not isinstance(value, int) or value < 0:
            return False
    return True


def _holds(program: Program, sizes: Mapping[str, int]) -> bool:
    for condition in conditions(program):
        try:
            if not evaluate(condition, sizes):
                return False
        except UnboundSymbol:
            continue
    return True


def conditions(program: Program) -> list[Term]:
    """The program's guards, over its symbols as far as these tell the sizes of the inputs."""
    found: list[Term] = []
    for guard in program.guards:
        shown = {name: _input_size(program, name) for name in free_symbols(guard.condition)}
        terms = {name: size for name, size in shown.items() if size is not None}
        found.append(substituted(guard.condition, terms))
    return found


def _input_size(program: Program, name: str) -> Dim | None:
    """The size of an input that a guard calls so."""
    access = _SIZE.fullmatch(name)
    if access is None:
        return None
    type_ = program.graph.values.get("_".join(_KEY.findall(access[1])))
    axis = int(access[2])
    return type_.sizes[axis] if isinstance(type_, TensorType) and axis < type_.rank else None
