"""Weights that a caller gives to a program: whether they fit, and the program with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bridge.errors import BridgeError
from lowering.host.tensors import aligned_copy, numpy_dtype
from lowering.host.weights import materialise
from lowering.ir.program import STORED, InputKind, InputSpec, Program
from lowering.ir.types import DType, TensorType, contiguous_strides, view_nbytes
from lowering.ir.weights import AbsentWeights, Storage, Weights, WeightView

if TYPE_CHECKING:
    from bridge.planned import Planned

    P = TypeVar("P", bound=Planned)
    WeightSource = str | PathLike[str] | Mapping[str, Any] | Weights
else:
    P = TypeVar("P")


class WeightsRefused(BridgeError):
    """Weights that do not fit a program. `check`: everything that does not."""

    def __init__(self, check: WeightCheck) -> None:
        super().__init__(str(check))
        self.check = check


@dataclass(frozen=True)
class WeightCheck:
    """Where weights and a program differ, by full name; empty where they fit.

    `missing`: the program has it, the weights do not. `unexpected`: the reverse. `sizes`, `dtypes`: what the
    program has and what was given. `untied`: names of one tensor in the program whose given values differ.
    `parts`: given ones that share elements with others, which are not given.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    sizes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] | None = None
    dtypes: Mapping[str, tuple[str, str]] | None = None
    untied: tuple[tuple[str, ...], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.sizes or self.dtypes or self.untied or self.parts)

    def __bool__(self) -> bool:
        return self.fits

    def __str__(self) -> str:
        """Everything that does not fit, a line each."""
        lines = [
            *(f"missing: {name}" for name in self.missing),
            *(f"unexpected: {name}" for name in self.unexpected),
            *(
                f"sizes of {n}: {list(ours)}, not {list(theirs)}"
                for n, (ours, theirs) in (self.sizes or {}).items()
            ),
            *(f"dtype of {n}: {ours}, not {theirs}" for n, (ours, theirs) in (self.dtypes or {}).items()),
            *(f"tied in the program, but given values differ: {', '.join(names)}" for names in self.untied),
            *(f"{one} shares elements with {other}: give both" for one, other in self.parts),
        ]
        if not lines:
            return "the weights fit the program"
        shown = lines[:20] + ([f"and {len(lines) - 20} more"] if len(lines) > 20 else [])
        return "\n  ".join(["the weights do not fit the program:", *shown])


def read_weights(source: WeightSource) -> Weights:
    """Weights of a state dict, a `.safetensors` or `.pt` file, a folder of these, an artifact or a `.pt2`.

    Files are mapped, and nothing is read before it is used; no pickle is executed. Raises BridgeError.
    """
    from bridge.artifact import is_artifact, read
    from bridge.planned import Planned
    from lowering.frontend.state_dicts import read_state_dict

    if isinstance(source, Weights):
        return source
    if not isinstance(source, str | PathLike):
        return read_state_dict(source)
    path = Path(source)
    if is_artifact(path):
        return read(path, Planned, False).weights
    if path.suffix == ".pt2":
        from bridge.sources import read_file

        return read_file(path)[1]
    return read_state_dict(path)


def validate_weights(program: Program | Planned, weights: WeightSource, *, cast: bool = False) -> WeightCheck:
    """Everything in which weights do not fit a program, at once. Only what is tied is read.

    `cast`: take another floating-point dtype than the program's. Raises BridgeError for a source that cannot
    be read.
    """
    own = program if isinstance(program, Program) else program.program
    tied = [] if isinstance(program, Program) else _tied(own, program.weights)
    return _check(own, _with_twins(read_weights(weights), tied), tied, cast)


def with_weights(lowered: P, source: WeightSource, *, cast: bool = False) -> P:
    """The same program over other weights; its modules and binaries stay.

    Buffers that a state dict does not hold (those that are not persistent, and constants) keep their values.
    Raises WeightsRefused with everything that does not fit, BridgeError for a source that cannot be read.
    """
    tied = _tied(lowered.program, lowered.weights)
    given = _with_twins(read_weights(source), tied)
    check = _check(lowered.program, given, tied, cast)
    if not check:
        raise WeightsRefused(check)
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    for spec, type_ in _weights_of(lowered.program):
        name = spec.fqn or ""
        origin = given if name in given.views else lowered.weights
        view = origin.views[name]
        key = f"{'given' if origin is given else 'own'}/{view.storage}"
        storages[key] = origin.storages[view.storage]
        views[name] = replace(view, storage=key)
        if view.dtype is not type_.dtype:
            key = f"cast/{name}"
            storages[key], views[name] = _cast(given, name, type_.dtype, key)
    # The artifact that it was read from has other weights.
    return replace(lowered, weights=Weights(storages, _tied_again(views, tied)), artifact=None)


def replaced_weights(lowered: Planned, source: WeightSource, *, cast: bool = False) -> Weights:
    """The weights of a program, with those of a source in their places: all of them, or some.

    Tied weights stay tied. A caller's own tensors are copied, so that later writes to them do not show; files
    stay mapped. Raises WeightsRefused with everything that does not fit, AbsentWeights for one without
    values, BridgeError for a source that cannot be read.
    """
    program, own = lowered.program, lowered.weights
    tied = _tied(program, own)
    given = _with_twins(read_weights(source), tied)
    check = _check(program, given, tied, cast, partial=True)
    check = replace(check, parts=tuple(_left_alone(given, own)))
    if not check:
        raise WeightsRefused(check)
    types = {spec.fqn or "": type_ for spec, type_ in _weights_of(program)}
    storages, views = dict(own.storages), dict(own.views)
    made: dict[WeightView, WeightView] = {}
    keys: dict[str, str] = {}
    for name, view in given.views.items():
        storage, dtype = given.storages[view.storage], types[name].dtype
        if storage.absent:
            raise AbsentWeights(name)
        if view.dtype is not dtype or storage.borrowed:
            if view not in made:
                key = _free_key(f"given/{name}", storages)
                part = _cast(given, name, dtype, key) if view.dtype is not dtype else (storage, view)
                storages[key], made[view] = _copied(*part, key)
            views[name] = made[view]
            continue
        if view.storage not in keys:
            keys[view.storage] = key = _free_key(f"given/{view.storage}", storages)
            storages[key] = storage
        views[name] = replace(view, storage=keys[view.storage])
    return Weights(storages, _tied_again(views, tied)).only(views)


def require_weights(lowered: Planned) -> None:
    """Raise AbsentWeights, naming one, where a weight of the program has no values."""
    absent = [
        name
        for spec, _ in _weights_of(lowered.program)
        if (name := spec.fqn or "") and lowered.weights.storages[lowered.weights.views[name].storage].absent
    ]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise AbsentWeights(f"{absent[0]}{more}")


def _weights_of(program: Program) -> Iterator[tuple[InputSpec, TensorType]]:
    for spec in program.signature.inputs:
        type_ = program.graph.values.get(spec.name)
        if spec.kind in STORED and isinstance(type_, TensorType):
            yield spec, type_


def _check(
    program: Program, given: Weights, tied: list[tuple[str, ...]], cast: bool, partial: bool = False
) -> WeightCheck:
    """`partial`: nothing is missing."""
    known = {spec.fqn or "": (spec, type_) for spec, type_ in _weights_of(program)}
    missing = [
        name
        for name, (spec, _) in known.items()
        if not partial and name not in given.views and _is_stored(spec)
    ]
    sizes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    dtypes: dict[str, tuple[str, str]] = {}
    for name, view in given.views.items():
        type_ = known[name][1] if name in known else None
        if type_ is None:
            continue
        if type_.sizes != view.sizes:
            sizes[name] = (tuple(int(size) for size in type_.sizes if isinstance(size, int)), view.sizes)
        if type_.dtype is not view.dtype and not (
            cast and type_.dtype.is_floating and view.dtype.is_floating
        ):
            dtypes[name] = (type_.dtype.value, view.dtype.value)
    unexpected = [name for name in given.views if name not in known]
    untied = [names for names in tied if not sizes and not _equal(given, names)]
    return WeightCheck(tuple(missing), tuple(unexpected), sizes, dtypes, tuple(untied))


def _is_stored(spec: InputSpec) -> bool:
    """Whether a module's state dict has it."""
    return spec.kind is InputKind.PARAMETER or (spec.kind is InputKind.BUFFER and spec.persistent)


def _tied(program: Program, weights: Weights) -> list[tuple[str, ...]]:
    """Names of the program's weights that are one tensor, where there are several."""
    groups: dict[WeightView, list[str]] = {}
    for spec, _ in _weights_of(program):
        view = weights.views.get(spec.fqn or "")
        if view is not None:
            groups.setdefault(view, []).append(spec.fqn or "")
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _with_twins(given: Weights, tied: list[tuple[str, ...]]) -> Weights:
    """Files store tied weights once: the others of a group get the view of the one that is there."""
    views = dict(given.views)
    for names in tied:
        there = next((views[name] for name in names if name in views), None)
        if there is not None:
            views |= {name: there for name in names if name not in views}
    return Weights(given.storages, views)


def _tied_again(views: Mapping[str, WeightView], tied: list[tuple[str, ...]]) -> dict[str, WeightView]:
    """A write of the program through one name must show through the others of its group."""
    return {**views, **{name: views[names[0]] for names in tied for name in names}}


def _left_alone(given: Weights, own: Weights) -> Iterator[tuple[str, str]]:
    """Given weights that in the program share elements with others, of other places, which are not given."""
    by_storage: dict[str, list[str]] = {}
    for name, view in own.views.items():
        by_storage.setdefault(view.storage, []).append(name)
    for name in given.views:
        view = own.views.get(name)
        if view is None:
            continue
        for other in by_storage[view.storage]:
            if other not in given.views and own.views[other] != view and _meet(view, own.views[other]):
                yield name, other


def _meet(one: WeightView, other: WeightView) -> bool:
    """Whether the bytes from first to last element of two views of a storage meet."""
    (start, end), (low, high) = _reach(one), _reach(other)
    return start < high and low < end


def _reach(view: WeightView) -> tuple[int, int]:
    """The bytes of a storage from a view's first element to its last."""
    size = view.dtype.itemsize
    return view.offset * size, view_nbytes(view.dtype, view.sizes, view.strides, view.offset)


def _copied(storage: Storage, view: WeightView, key: str) -> tuple[Storage, WeightView]:
    """The bytes of a view in memory of our own, on a 64-byte boundary."""
    start, end = _reach(view)
    raw = aligned_copy(storage.open()[start:end])
    raw.flags.writeable = False
    return Storage(raw.nbytes, lambda: raw), replace(view, storage=key, offset=0)


def _free_key(key: str, taken: Mapping[str, Any]) -> str:
    while key in taken:
        key += "_"
    return key


def _equal(given: Weights, names: tuple[str, ...]) -> bool:
    found = [given.views[name] for name in names if name in given.views]
    if len(set(found)) < 2:
        return True
    first, *rest = (array.view(np.uint8) for array in materialise(given, names).values())
    return all(np.array_equal(first, other) for other in rest)


def _cast(given: Weights, name: str, dtype: DType, key: str) -> tuple[Storage, WeightView]:
    """A weight in another floating-point dtype, rounded to the nearest (ties to even) when it is opened."""
    view = given.views[name]
    strides = contiguous_strides(view.sizes)

    def open_storage() -> np.ndarray:
        array = materialise(given, [name])[name].astype(numpy_dtype(dtype))
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    nbytes = view_nbytes(dtype, view.sizes, strides, 0)
    return Storage(nbytes, open_storage), WeightView(key, dtype, view.sizes, strides)
