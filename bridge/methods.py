"""`LoweredMethods`: several programs over one set of weights and one state, ready to be saved or compiled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import UsageError
from bridge.lowered import Lowered, lower_program
from bridge.manifest import METHOD
from bridge.progress import part
from bridge.shared_weights import differing_constants, shared_weights, weights_by_method
from bridge.sources import has_model, import_all, read
from lowering.ir.errors import did_you_mean
from lowering.ir.program import BUFFER_WRITES, STORED, Program
from lowering.ir.weights import Weights
from lowering.passes.held_buffers import written_buffers
from lowering.targets import DEFAULT_ENGINE

if TYPE_CHECKING:
    from bridge.compiled.methods import CompiledMethods
    from bridge.sources import Source

#: Which buffers several methods share: all of one name, none, or those named.
Shares = bool | Iterable[str]
# The names that a compiled value has itself.
_TAKEN = (
    "state", "session", "reset", "set_weights", "buffers", "programs", "keys", "values", "items", "get",
)  # fmt: skip


class LoweredMethods(Mapping[str, Lowered]):
    """Methods by name, each lowered; `bridge.lower` returns it for a dict of programs.

    `weights`: of all, by full name.
    """

    def __init__(self, methods: Mapping[str, Lowered], weights: Weights) -> None:
        self._methods = dict(methods)
        self.weights = weights

    def __getitem__(self, name: str) -> Lowered:
        """A method's program. Raises UsageError for a name that no method has."""
        if name not in self._methods:
            known = list(self._methods)
            raise UsageError(
                f"there is no method {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}"
            )
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def __contains__(self, name: object) -> bool:
        return name in self._methods

    def __repr__(self) -> str:
        return f"<LoweredMethods {', '.join(self._methods)}, {len(self.weights.views)} weights>"

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one artifact of all methods, as `Lowered.save` does; the weights are in it once."""
        from bridge.artifact import save_methods

        return save_methods(self._methods, self.weights, Path(path))

    def compile(
        self, engine: str = DEFAULT_ENGINE, device: str | None = None, **options: Any
    ) -> CompiledMethods:
        """Compile every method and load the weights, which all share.

        `options`: as `Lowered.compile` takes them, for all methods; `sizes` and `buckets` by method. Raises
        as it does.
        """
        from bridge.compiled.compiled import Compiled
        from bridge.compiled.methods import CompiledMethods

        by_method = {name: options.pop(name, None) or {} for name in ("sizes", "buckets")}
        for option, given in by_method.items():
            for name in given:
                if name not in self:
                    raise UsageError(f"{option}: there is no method {name!r}; there are {', '.join(self)}")
        programs: dict[str, Compiled] = {}
        for name, lowered in self.items():
            own = {option: given[name] for option, given in by_method.items() if name in given}
            compiled = lowered.compile(engine, device, **options, **own)
            assert isinstance(compiled, Compiled), "a method that is not functional is not lowered"
            programs[name] = compiled
        return CompiledMethods(programs, self.weights, partial(weights_by_method, self._methods))


def lower_methods(
    sources: Mapping[str, Source],
    *,
    imports: Iterable[str] = (),
    bounds_checks: bool = True,
    share_buffers: Shares = True,
) -> LoweredMethods:
    """Lower several programs over one set of weights; see `bridge.lower`."""
    _check_names(sources)
    import_all(imports)
    found: dict[str, tuple[Program, Weights]] = {}
    for name, source in sources.items():
        with part(f"reading the method {name}"):
            found[name] = read(source, model=name if has_model(source, name) else None)
    for name, constants in differing_constants(found).items():
        program, own = _with_own(*found[name], name, constants)
        found[name] = program, own.only(_stored(program))
    weights = shared_weights({name: own for name, (_, own) in found.items()})
    methods = {n: _lowered(n, program, weights, bounds_checks) for n, (program, _) in found.items()}
    shared = _shared_names(methods, share_buffers)
    for name, lowered in methods.items():
        program, weights = _with_own(lowered.program, weights, name, _written(lowered) - shared)
        held = shared & set(_stored(program)) - _written(lowered)
        if held or program is not lowered.program:
            methods[name] = _lowered(name, program, weights, bounds_checks, sorted(held))
    # All have the same weights, those that one of them renamed among them.
    return LoweredMethods({n: replace(lowered, weights=weights) for n, lowered in methods.items()}, weights)


def _lowered(
    name: str, program: Program, weights: Weights, bounds_checks: bool, held: Iterable[str] = ()
) -> Lowered:
    with part(f"placing {len(program.nodes)} nodes of the method {name}"):
        lowered = lower_program(program, weights, bounds_checks, tuple(held))
    if lowered.not_functional:
        raise UsageError(f"the method {name} cannot share its state: {lowered.not_functional}")
    return lowered


def _shared_names(methods: Mapping[str, Lowered], share_buffers: Shares) -> set[str]:
    """The full names of the buffers that are one for all methods."""
    written = set().union(*map(_written, methods.values()))
    if isinstance(share_buffers, bool):
        return written if share_buffers else set()
    for name in share_buffers:
        if name not in written:
            raise UsageError(
                f"share_buffers names {name!r}, which no method writes{did_you_mean(name, sorted(written))}"
            )
    return set(share_buffers)


def _with_own(
    program: Program, weights: Weights, method: str, own: Collection[str]
) -> tuple[Program, Weights]:
    """The program with weights of its own under names that begin with the method's, and the weights with
    these names."""
    if not own:
        return program, weights
    names = {name: f"{method}.{name}" for name in own}
    signature = program.signature
    inputs = tuple(replace(spec, fqn=names.get(spec.fqn or "", spec.fqn)) for spec in signature.inputs)
    outputs = tuple(
        replace(spec, destination=names.get(spec.destination or "", spec.destination))
        if spec.kind in BUFFER_WRITES
        else spec
        for spec in signature.outputs
    )
    views = {**weights.views, **{new: weights.views[old] for old, new in names.items()}}
    renamed = replace(program, signature=replace(signature, inputs=inputs, outputs=outputs))
    return renamed, Weights(weights.storages, views)


def _written(lowered: Lowered) -> set[str]:
    return set(written_buffers(lowered.functional))


def _stored(program: Program) -> list[str]:
    return [spec.fqn or "" for spec in program.signature.inputs if spec.kind in STORED]


def _check_names(sources: Mapping[str, Any]) -> None:
    if not sources:
        raise UsageError("there are no methods to lower: give a dict of programs by name")
    for name in sources:
        if not isinstance(name, str) or not re.fullmatch(METHOD, name) or name.startswith("_"):
            raise UsageError(f"a method cannot be called {name!r}: give a Python name without a leading _")
        if name in _TAKEN:
            raise UsageError(f"a method cannot be called {name!r}: compiled methods have that name already")
