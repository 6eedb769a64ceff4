"""The sizes at which a program with dynamic sizes is verified: the ends of its ranges, and one between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from bridge.planned import example_sizes
from lowering.ir.program import InputKind, Program
from lowering.ir.symbols import evaluate
from lowering.ir.types import TensorType
from lowering.stablehlo.admitted import admits

# No input has more elements at the largest sizes, unless the example's has.
_MOST_ELEMENTS = 1 << 20
# How far from a size that guards exclude another is looked for.
_NEAR = 16


def range_sizes(program: Program, added: Iterable[Mapping[str, int]] = ()) -> dict[str, dict[str, int]]:
    """By label: sizes by symbol, beside the example's. Sizes that guards exclude are left out."""
    example = example_sizes(program)
    if not example:
        return {}
    smallest = {name: max(_low(program, name), 1) for name in example}
    largest = _bounded(program, example, {name: _high(program, name, size) for name, size in example.items()})
    between = {name: _prime(smallest[name], largest[name], example[name]) for name in example}
    found: dict[str, dict[str, int]] = {}
    for label, sizes in (("smallest", smallest), ("largest", largest), ("between", between)):
        admitted = _admitted(program, sizes)
        if admitted is not None and admitted != example and admitted not in found.values():
            found[f"{label} sizes, {_text(admitted)}"] = admitted
    for sizes in added:
        found.setdefault(f"sizes {_text(sizes)}", dict(sizes))
    return found


def _text(sizes: Mapping[str, int]) -> str:
    return " ".join(f"{name}={size}" for name, size in sorted(sizes.items()))


def _low(program: Program, name: str) -> int:
    bounds = program.ranges.get(name)
    return bounds.low if bounds is not None and bounds.low is not None else 1


def _high(program: Program, name: str, example: int) -> int:
    bounds = program.ranges.get(name)
    return bounds.high if bounds is not None and bounds.high is not None else 2 * example + 1


def _bounded(program: Program, example: dict[str, int], sizes: dict[str, int]) -> dict[str, int]:
    """The sizes, halved towards the example's until no input is huge."""
    while sizes != example and _elements(program, sizes) > _MOST_ELEMENTS:
        sizes = {name: max(size // 2, min(size, example[name])) for name, size in sizes.items()}
    return sizes


def _elements(program: Program, sizes: Mapping[str, int]) -> int:
    types = [
        program.graph.values[spec.name]
        for spec in program.signature.inputs
        if spec.kind is InputKind.USER and spec.name in program.graph.values
    ]
    shapes = [[evaluate(size, sizes) for size in t.sizes] for t in types if isinstance(t, TensorType)]
    return max((prod(int(size) for size in shape) for shape in shapes), default=0)


def _prime(low: int, high: int, example: int) -> int:
    """A prime between the ends that is not the example; the example where there is none."""
    candidates = [
        n for n in range(max(low + 1, 2), min(high, 4 * example + 16)) if n != example and _is_prime(n)
    ]
    return min(candidates, key=lambda n: abs(n - (example + high) // 2)) if candidates else example


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _admitted(program: Program, sizes: dict[str, int]) -> dict[str, int] | None:
    """These sizes, or the nearest that the program's guards admit; None where there are none."""
    for distance in range(_NEAR):
        for step in (distance, -distance):
            near = {name: size + step for name, size in sizes.items()}
            if all(_within(program, name, size) for name, size in near.items()) and admits(program, near):
                return near
    return None


def _within(program: Program, name: str, size: int) -> bool:
    bounds = program.ranges.get(name)
    high = bounds.high if bounds is not None else None
    return size >= _low(program, name) and (high is None or size <= high)
