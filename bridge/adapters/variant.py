"""A program with the inputs of adapters, compiled beside the one without, over the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridge.adapters.fitting import fitted
from bridge.adapters.reading import read_adapter
from bridge.planned import Planned
from bridge.planning import planned
from lowering.host.tensors import aligned_copy, numpy_dtype
from lowering.host.weights import materialise
from lowering.passes.adapters import AdaptedLayer, adapter_names
from lowering.passes.pipelines import adapted

if TYPE_CHECKING:
    from bridge.adapters.reading import AdapterSource

Form = tuple[AdaptedLayer, ...]


class Bound(NamedTuple):
    """An adapter of a program. `form`: equal where the code is the same. `tensors`: by full name."""

    form: Form
    tensors: Mapping[str, np.ndarray]


def bound_adapter(
    lowered: Planned,
    source: AdapterSource,
    scale: float | None,
    config: str | PathLike[str] | Mapping[str, Any] | None,
) -> Bound:
    """An adapter read, checked against a program, and copied. Raises AdapterRefused."""
    adapter = read_adapter(source, scale, config)
    layers = fitted(lowered.functional, lowered.weights, adapter)
    tensors: dict[str, np.ndarray] = {}
    for one in layers:
        read = materialise(adapter.weights, [one.factors.first, one.factors.second])
        types = list(one.layer.inputs.values())
        values = [aligned_copy(read[name]) for name in (one.factors.first, one.factors.second)]
        if one.layer.is_linear:
            # Views: so ATen computes what a linear layer does. Engines get copies.
            values = [value.T for value in values]
        values.append(np.array(one.factors.scale, numpy_dtype(types[2].dtype)))
        tensors |= zip(adapter_names(one.layer.weight), values, strict=True)
    return Bound(tuple(one.layer for one in layers), tensors)


def with_inputs(lowered: Planned, form: Form) -> Planned:
    """The program with the inputs of adapters of this form, planned and emitted."""
    program = adapted(form).run(lowered.functional)
    found = planned(Planned, program, program, lowered.weights, lowered.bounds_checks)
    found.buckets, found.device = lowered.buckets, lowered.device
    return found
