"""An adapter merged into the weights of the layers that it changes."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.adapters.fitting import FittedLayer, fitted
from bridge.adapters.reading import read_adapter
from bridge.compiled.adapters import AdapterRefused
from bridge.given_weights import require_weights
from lowering.host.tensors import numpy_dtype
from lowering.host.weights import materialise
from lowering.ir.types import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.adapters.reading import AdapterSource
    from bridge.planned import Planned


def merged(
    lowered: Planned,
    adapter: AdapterSource,
    scale: float | None = None,
    *,
    config: str | PathLike[str] | Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """The weights of a program that an adapter changes, with `scale * B A` added, by full name.

    For `Compiled.set_weights`; `set_weights(lowered.weights)` takes the adapter out again. Sums are of
    float32, of float64 where the weight is, and are rounded once. Arguments are as `Compiled.add_adapter` has
    them. Raises AdapterRefused for an adapter that does not fit, AbsentWeights for a program without values.
    """
    require_weights(lowered)
    found = read_adapter(adapter, scale, config)
    layers = fitted(lowered.functional, lowered.weights, found)
    result: dict[str, np.ndarray] = {}
    for one in layers:
        name = one.layer.weight
        if len(one.layer.names) > 1:
            others = ", ".join(other for other in one.layer.names if other != name)
            raise AdapterRefused(f"{name} is {others}, too: an adapter of one of them cannot be merged")
        weight = materialise(lowered.weights, [name])[name]
        factors = materialise(found.weights, [one.factors.first, one.factors.second])
        wide = np.float64 if weight.dtype == numpy_dtype(DType.FLOAT64) else np.float32
        first, second = (factors[each].astype(wide) for each in (one.factors.first, one.factors.second))
        change = _product(one, first, second).reshape(weight.shape) * wide(one.factors.scale)
        result[name] = (weight.astype(wide) + change).astype(weight.dtype)
    return result


def _product(one: FittedLayer, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """B A, laid out as the weight is."""
    call = one.calls[0]
    if call.given.get("groups", 1) != 1:
        raise AdapterRefused(f"the adapter of {one.layer.path}, a convolution with groups, cannot be merged")
    change = second.reshape(second.shape[0], -1) @ first.reshape(first.shape[0], -1)
    return change.T if call.in_out else change
