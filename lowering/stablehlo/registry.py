"""Which rule lowers which ATen overload. Support is not a second list: a rule decides by running."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

from lowering.ir.facts.twins import functional_twin
from lowering.stablehlo.errors import OperatorError, RuleError

# One module per family of `lowering/stablehlo/ops`; the order is of no consequence, a duplicate is an error.
FAMILIES = (
    "elementwise",
    "blends",
    "unary",
    "power",
    "special",
    "bessel",
    "polynomials",
    "activation",
    "casts",
    "creation",
    "complexes",
    "reduction",
    "moments",
    "cumulative",
    "contraction",
    "matmul",
    "softmax",
    "norm",
    "attention",
    "loss",
    "chunked_loss",
    "quantization",
    "quantization_ranges",
    "affine",
    "packed_products",
    "grouped",
    "shape",
    "strided",
    "slicing",
    "joining",
    "indexing",
    "scattering",
    "view_writes",
    "sorting",
    "control_flow",
    "convolution",
    "pooling",
    "padding",
    "resize",
    "sampling",
    "patches",
    "fft",
    "short_time_fft",
    "linalg",
    "linalg_exponential",
    "linalg_spectral",
    "linalg_ldl",
    "recurrent",
    "bags",
    "margins",
    "counting",
    "histograms",
    "segments",
    "backward",
    "backward_windows",
    "assertions",
    "prims",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one overload is lowered.

    `emit(cx, **arguments)`: arguments by their schema names (tensors as `Value`, lists as tuples, symbolic
    ints as int). It returns a `Value`, or a tuple of them where the operator returns several, or raises
    `Unsupported(reason)`. `accepts` are the argument names it takes: others must not matter to the result
    (`OPTIONS`).
    """

    target: str
    emit: Callable[..., Any]
    accepts: frozenset[str]

    @property
    def mistake(self) -> type[RuleError]:
        """The error where it is wrong: a bug of ours, or of its author's."""
        return RuleError if self.emit.__module__.startswith("lowering.") else OperatorError

    def __str__(self) -> str:
        return f"the rule {described(self.emit)} of {self.target}"


# Arguments that never change a value: a rule need not name them. Dtypes are in the output's type; devices,
# layouts and memory formats say where and how it lies.
OPTIONS = frozenset({"layout", "device", "pin_memory", "non_blocking", "memory_format", "copy", "out"})

_RULES: dict[str, Rule] = {}
# Decompositions of operators that have no rule: functions of torch tensors, the operator's arguments by name.
_DECOMPOSITIONS: dict[str, Callable[..., Any]] = {}
_changes = 0


def lowers(*targets: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the rule of these exact overloads (`aten.tanh.default`)."""

    def register(emit: Callable[..., Any]) -> Callable[..., Any]:
        add_rules((target, emit) for target in targets)
        return emit

    return register


def add_rules(rows: Iterable[tuple[str, Callable[..., Any]]]) -> None:
    """Register rows of a table. A `from` argument is passed as `from_`, Python having taken the word."""
    global _changes
    for target, emit in rows:
        _changes += 1
        if target in _RULES:
            raise ValueError(f"two rules for {target}")
        parameters = list(signature(emit).parameters)[1:]
        names = frozenset("from" if name == "from_" else name for name in parameters)
        _RULES[target] = Rule(target, emit, names)


def add_decomposition(target: str, function: Callable[..., Any]) -> None:
    """Register a function of torch tensors that does what the operator does, in operators with rules."""
    global _changes
    _changes += 1
    if target in _DECOMPOSITIONS:
        raise ValueError(f"two decompositions of {target}")
    _DECOMPOSITIONS[target] = function


def forget(target: str) -> None:
    """Drop what is registered for an overload."""
    global _changes
    _changes += 1
    _RULES.pop(target, None)
    _DECOMPOSITIONS.pop(target, None)


@cache
def load_families() -> None:
    """Import every family, which registers its rules."""
    for family in FAMILIES:
        importlib.import_module(f"lowering.stablehlo.ops.{family}")


def rule_for(target: str) -> Rule | None:
    """The rule of an overload; one that was in place and became functional may use its namesake's."""
    load_families()
    return _RULES.get(target) or _RULES.get(functional_twin(target))


def exact_rule(target: str) -> Rule | None:
    """The rule that was registered so far for this very overload."""
    return _RULES.get(target)


def decomposition_for(target: str) -> Callable[..., Any] | None:
    """The registered decomposition of this very overload."""
    return _DECOMPOSITIONS.get(target)


def decompositions() -> dict[str, Callable[..., Any]]:
    """Every registered decomposition by target."""
    return dict(_DECOMPOSITIONS)


def changes() -> int:
    """How often registrations have changed: decompositions depend on it."""
    return _changes


def described(function: Callable[..., Any]) -> str:
    """A function as a message names it."""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"


def all_rules() -> dict[str, Rule]:
    """Every registered rule by target, sorted."""
    load_families()
    return dict(sorted(_RULES.items()))
