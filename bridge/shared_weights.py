"""One set of weights for several programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bridge.errors import UsageError
from bridge.given_weights import WeightCheck, WeightsRefused, read_weights, replaced_weights
from bridge.planned import Planned
from lowering.host.tensors import address
from lowering.ir.program import InputKind, Program
from lowering.ir.weights import Storage, Weights, WeightView

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource


class _Weight(NamedTuple):
    """A weight, where its bytes are, and the method that brought it."""

    view: WeightView
    storage: Storage
    method: str


def shared_weights(methods: Mapping[str, Weights]) -> Weights:
    """The weights of all methods by full name; those that several have are the first's.

    A weight that lies where an earlier method has one of another name is a view of the same storage. Weights
    of one name that lie in different places are read and compared.

    Raises UsageError for a name whose type or bytes differ between two methods.
    """
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    found: dict[str, _Weight] = {}
    # The key of a storage, by where its bytes are.
    places: dict[tuple[int, int], str] = {}
    for method, weights in methods.items():
        keys: dict[str, str] = {}
        for name, view in weights.views.items():
            storage = weights.storages[view.storage]
            own = _Weight(view, storage, method)
            if name in found:
                _check_equal(name, own, found[name])
                continue
            key = keys.get(view.storage)
            if key is None:
                key = places.setdefault(_place(storage) or (0, len(storages)), f"{method}/{view.storage}")
                keys[view.storage] = key
            storages.setdefault(key, storage)
            views[name] = replace(view, storage=key)
            found[name] = own
    return Weights(storages, views)


def weights_by_method(methods: Mapping[str, Planned], source: WeightSource, cast: bool) -> dict[str, Weights]:
    """Other weights for methods, for each those that it has; weights that several have lie in one place.

    Raises WeightsRefused for names that no method has and for what does not fit, BridgeError.
    """
    given = read_weights(source)
    stored = {
        method: {spec.fqn for spec in lowered.program.weights.values()} for method, lowered in methods.items()
    }
    unexpected = [name for name in given.views if not any(name in names for names in stored.values())]
    if unexpected:
        raise WeightsRefused(WeightCheck(unexpected=tuple(unexpected)))
    found: dict[str, Weights] = {}
    for method, lowered in methods.items():
        names = [name for name in given.views if name in stored[method]]
        replaced = replaced_weights(lowered, given.only(names), cast=cast)
        found[method] = replaced.only(names)
        # The next method takes the copies that this one made.
        given = _with_places(given, found[method])
    return found


def _with_places(weights: Weights, others: Weights) -> Weights:
    """The weights, those that the others have in the places of these."""
    storages, views = dict(weights.storages), dict(weights.views)
    for name, view in others.views.items():
        key = f"{name}/{view.storage}"
        storages[key], views[name] = others.storages[view.storage], replace(view, storage=key)
    return Weights(storages, views)


def _place(storage: Storage) -> tuple[int, int] | None:
    """Where the bytes are, and how many; None where there are none."""
    if storage.absent or not storage.nbytes:
        return None
    return address(storage.open()), storage.nbytes


def differing_constants(methods: Mapping[str, tuple[Program, Weights]]) -> dict[str, set[str]]:
    """By method, the full names of constants that an earlier method has with another type or other bytes.

    The exporter names the constants of each program anew: `lifted_tensor_0` is another tensor in each.
    """
    first: dict[str, _Weight] = {}
    found: dict[str, set[str]] = {}
    for method, (program, weights) in methods.items():
        constants = {spec.fqn for spec in program.signature.inputs if spec.kind is InputKind.CONSTANT}
        found[method] = set()
        for name, view in weights.views.items():
            own = _Weight(view, weights.storages[view.storage], method)
            other = first.setdefault(name, own)
            if name in constants and (not _is_alike(own, other) or not _equal(own, other)):
                found[method].add(name)
    return found


def _is_alike(own: _Weight, other: _Weight) -> bool:
    return (own.view.dtype, own.view.sizes) == (other.view.dtype, other.view.sizes)


def _check_equal(name: str, own: _Weight, other: _Weight) -> None:
    (view, _, method), (earlier, _, first) = own, other
    if not _is_alike(own, other):
        problem = (
            f"is {view.dtype.value} {list(view.sizes)} in the method {method} and "
            f"{earlier.dtype.value} {list(earlier.sizes)} in {first}"
        )
    elif not _equal(own, other):
        problem = f"has other values in the method {method} than in {first}"
    else:
        return
    raise UsageError(f"`{name}` {problem}; methods share their weights by name")


def _equal(own: _Weight, other: _Weight) -> bool:
    """Whether two weights of one type have the same bytes. Absent ones are equal if both are."""
    if own.storage.absent or other.storage.absent:
        return own.storage.absent and other.storage.absent
    same_view = (own.view.strides, own.view.offset) == (other.view.strides, other.view.offset)
    if same_view and _place(own.storage) == _place(other.storage):
        return True
    return np.array_equal(_bytes(own), _bytes(other))


def _bytes(weight: _Weight) -> np.ndarray:
    """The elements, each as its bytes."""
    view, item = weight.view, weight.view.dtype.itemsize
    raw = weight.storage.open()[view.offset * item :]
    steps = (*(step * item for step in view.strides), 1)
    return np.lib.stride_tricks.as_strided(raw, (*view.sizes, item), steps, writeable=False)
