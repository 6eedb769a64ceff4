"""Whether an adapter fits a program: the layers that it changes, and their calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from bridge.adapters.reading import Factors, LowRankAdapter
from bridge.compiled.adapters import AdapterRefused
from lowering.ir.errors import did_you_mean
from lowering.ir.program import Program
from lowering.ir.types import Device, TensorType
from lowering.ir.weights import Weights, WeightView
from lowering.passes.adapters import AdaptedLayer, LayerCall, calls_of

_WEIGHT = ".weight"


class FittedLayer(NamedTuple):
    """A layer of a program, the matrices that an adapter has for it, and its calls."""

    layer: AdaptedLayer
    factors: Factors
    calls: tuple[LayerCall, ...]


def fitted(program: Program, weights: Weights, adapter: LowRankAdapter) -> list[FittedLayer]:
    """The layers of a program that an adapter changes, by their weights' names in order.

    `program`: without writes. `weights`: the program's own, which say what is tied. Raises AdapterRefused.
    """
    types = {spec.fqn: spec.type for spec in program.weights.values()}
    prefix = _prefix(types.keys(), adapter.layers)
    tied: dict[WeightView, list[str]] = {}
    for name in types:
        if name in weights.views:
            tied.setdefault(weights.views[name], []).append(name)
    found = []
    for path, factors in adapter.layers.items():
        name = f"{prefix}{path}{_WEIGHT}"
        names = tuple(tied[weights.views[name]]) if name in weights.views else (name,)
        calls = tuple(calls_of(program, names, f"{prefix}{path}"))
        if not calls:
            raise AdapterRefused(
                f"the adapter changes {path}, and the program calls no linear layer or convolution with its "
                "weight"
            )
        first, second = (adapter.weights.views[each] for each in (factors.first, factors.second))
        for call in calls:
            if problem := _problem(program, call, first, second):
                raise AdapterRefused(f"the adapter does not fit {path}: {problem}")
        device = _device(program, calls[0])
        layer = AdaptedLayer(name, f"{prefix}{path}", names, first.sizes, second.sizes, first.dtype, device)
        found.append(FittedLayer(layer, factors, calls))
    return sorted(found, key=lambda one: one.layer.weight)


def _prefix(names: Collection[str], paths: Mapping[str, Factors]) -> str:
    """The name of the module around the one that the adapter was made for: a program may wrap that."""
    known: set[str] | None = None
    for path in paths:
        end = f"{path}{_WEIGHT}"
        ends = {name.removesuffix(end) for name in names if name.endswith(end)}
        ends = {prefix for prefix in ends if not prefix or prefix.endswith(".")}
        if not ends:
            layers = [name.removesuffix(_WEIGHT) for name in names if name.endswith(_WEIGHT)]
            raise AdapterRefused(
                f"the adapter changes {path}, which the program does not have{did_you_mean(path, layers)}"
            )
        known = ends if known is None else known & ends
    if not known:
        raise AdapterRefused("the layers that the adapter changes are of different modules of the program")
    if "" in known:
        return ""
    if len(known) > 1:
        raise AdapterRefused(
            f"the adapter may be for {' or '.join(repr(each.removesuffix('.')) for each in sorted(known))}: "
            "put the module's name before the names of its layers"
        )
    return known.pop()


def _problem(program: Program, call: LayerCall, first: WeightView, second: WeightView) -> str:
    """Why the matrices do not fit a call; empty where they do."""
    values = program.graph.values
    made, given = values[next(call.node.results())], values[call.input.name]
    assert isinstance(made, TensorType)
    assert isinstance(given, TensorType)
    if not first.dtype.is_floating or first.dtype is not second.dtype:
        return f"its matrices are {first.dtype} and {second.dtype}, not of one floating-point dtype"
    space = len(first.sizes) - 2 if call.convolves else 0
    if call.convolves:
        own = values[_weight_of(call)]
        assert isinstance(own, TensorType)
        groups = call.given.get("groups", 1)
        if call.given.get("transposed") or any(step != 1 for step in _numbers(call.given.get("dilation"))):
            return "adapters of transposed or dilated convolutions are not supported"
        rank = first.sizes[0] if first.sizes else 0
        inside = own.sizes[1] * groups if isinstance(own.sizes[1], int) else own.sizes[1]
        wanted = ((rank, inside, *own.sizes[2:]), (own.sizes[0], rank // groups, *(1,) * space))
        fits = rank % groups == 0 and own.rank == len(first.sizes)
    else:
        rank = first.sizes[0] if len(first.sizes) == 2 else 0
        wanted, fits = ((rank, given.sizes[-1]), (made.sizes[-1], rank)), True
    if not fits or not rank or (first.sizes, second.sizes) != wanted:
        theirs = f"{list(first.sizes)} and {list(second.sizes)}"
        return f"its matrices are {theirs}, not {_text(wanted[0])} and {_text(wanted[1])}"
    return ""


def _weight_of(call: LayerCall) -> str:
    return call.given["weight"].name


def _numbers(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _text(sizes: tuple[object, ...]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _device(program: Program, call: LayerCall) -> Device:
    type_ = program.graph.values[call.input.name]
    assert isinstance(type_, TensorType)
    return type_.device
