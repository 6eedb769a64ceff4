"""A StableHLO module for all sizes of a range, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lowering.ir.batch_axes import BatchAxes, Mixing
from lowering.ir.module import Check, Module, Port
from lowering.ir.program import Range
from lowering.ir.short_repr import ShortRepr
from lowering.ir.symbols import Dim, Scalar, SymbolError, Term, evaluate
from lowering.ir.types import DType


class DynamicPort(NamedTuple):
    """One argument or result of `@main`, its sizes as expressions over symbols; `weight` as of a `Port`.

    `symbol`: the symbol whose value this argument is, where no tensor's size shows it.
    """

    name: str
    dtype: DType
    sizes: tuple[Dim, ...]
    weight: str | None = None
    symbol: str | None = None

    def at(self, sizes: Mapping[str, Scalar]) -> Port:
        """The port at these sizes. Raises SymbolError where a size has no value there."""
        shape = tuple(size if isinstance(size, int) else int(evaluate(size, sizes)) for size in self.sizes)
        return Port(self.name, self.dtype, shape, self.weight)


class SizeGuard(NamedTuple):
    """A condition over the symbols that an emission took for granted, and the line of the rule that asked."""

    condition: Term
    site: str


@dataclass(frozen=True, slots=True, repr=False)
class DynamicModule(ShortRepr):
    """A module as portable bytecode, whose tensors have sizes that a call says.

    It is for the sizes within `ranges` for which each guard holds. `checks` as of a `Module`. `batch_axes`:
    by symbol what is proved of it, as far as anybody has asked.
    """

    code: bytes
    inputs: tuple[DynamicPort, ...]
    outputs: tuple[DynamicPort, ...]
    ranges: Mapping[str, Range]
    guards: tuple[SizeGuard, ...] = ()
    name: str = "main"
    checks: tuple[Check, ...] = ()
    batch_axes: Mapping[str, BatchAxes | Mixing] = field(default_factory=dict)

    def at(self, sizes: Mapping[str, Scalar]) -> Module:
        """The ports at these sizes, around the code for all of them. Raises SymbolError."""
        inputs, outputs = (tuple(port.at(sizes) for port in ports) for ports in (self.inputs, self.outputs))
        return Module(self.code, inputs, outputs, self.name, self.checks)

    def largest(self) -> Module:
        """The ports at the largest sizes of the ranges; a size without a bound counts as a million."""
        return self.at(
            {
                name: 1_000_000 if range_.high is None else int(range_.high)
                for name, range_ in self.ranges.items()
            }
        )

    def admits(self, sizes: Mapping[str, Scalar]) -> bool:
        """Whether the module is for these sizes."""
        for name, (low, high) in self.ranges.items():
            size = sizes.get(name)
            if size is None or (low is not None and size < low) or (high is not None and size > high):
                return False
        try:
            return all(evaluate(guard.condition, sizes) for guard in self.guards)
        except SymbolError:
            return False
