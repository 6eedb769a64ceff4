"""Compiled code of a program's modules: as an artifact or the cache on disk brought it, else made now."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import astuple
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bridge.compile_cache import open_cache
from bridge.vetting import vetted
from lowering.host.machine import cores
from lowering.host.processor import processor
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.stablehlo.passes import REVISION, Form, form_for
from lowering.targets.target import Engine, Target

if TYPE_CHECKING:
    from bridge.lowered import Binary

T = TypeVar("T")

# How many binaries are kept of sizes that are not the example's, and which no artifact keeps.
_KEPT = 64


class Site(NamedTuple):
    """What a module is compiled for."""

    engine: Engine
    target: Target


class Binaries:
    """`kept`: binaries of the example sizes by key, which this adds to; those of other sizes stay here."""

    def __init__(self, kept: dict[str, Binary]) -> None:
        self._kept = kept
        self._others: OrderedDict[str, Binary] = OrderedDict()
        # Not the error itself: it would keep the frames that it came through, the caller's and theirs.
        self._refused: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        self._made: set[str] = set()
        #: Keys of the kept binaries that were asked for.
        self.used: set[str] = set()
        self._cache = open_cache()

    def of(self, module: Module, site: Site, own: bool) -> bytes:
        """What the engine makes of a module. `own`: whether it is of the example sizes.

        Raises EngineError.
        """
        key = cache_key(module, *site)
        if key in self._refused:
            raise EngineError(*self._refused[key])
        kept = self._kept if own else self._others
        if own:
            self.used.add(key)
        if key in kept:
            return kept[key].code
        code = self._cache.get(key)
        if code is None:
            try:
                code = site.engine.compile(formed(vetted(module), site), site.target)
            except EngineError as error:
                _add(self._refused, key, (str(error), error.node))
                raise
            self._made.add(key)
            self._cache.put(key, code)
        from bridge.lowered import Binary

        binary = Binary(site.engine.name, site.engine.version(), site.target.device, code)
        if own:
            kept[key] = binary
        else:
            _add(self._others, key, binary)
        return code

    def drop(self, modules: Iterable[Module], site: Site) -> bool:
        """Forget binaries that do not load: those that were brought, if any was, for they may be at fault.

        Returns whether any was.
        """
        keys = [cache_key(module, *site) for module in modules]
        brought = [key for key in keys if key in self._kept and key not in self._made]
        for key in brought or keys:
            self._kept.pop(key, None)
            self._cache.drop(key)
        return bool(brought)


def cache_key(module: Module, engine: Engine, target: Target) -> str:
    """What a binary depends on: the module's bytes, its form, the engine and its version, the target."""
    ports = [[port.dtype.value, port.sizes, port.weight] for port in (*module.inputs, *module.outputs)]
    options = sorted(target.options.items())
    form = [REVISION, *astuple(_wanted(engine, target))]
    described = [engine.name, engine.version(), target.device, options, form, ports, module.donations()]
    text = json.dumps(described)
    return hashlib.sha256(text.encode() + b"\0" + module.code).hexdigest()


def formed(module: Module, site: Site) -> Module:
    """The module in the form that the engine runs fastest; as it is where jax, which rewrites, is not."""
    try:
        from lowering.stablehlo.passes.form import form
    except ImportError:
        return module
    return form(module, _wanted(*site))


def _wanted(engine: Engine, target: Target) -> Form:
    """The form that an engine runs fastest here."""
    has = processor()
    return form_for(
        engine.name,
        target.device,
        cores(),
        has_avx512=has.has_avx512,
        has_bfloat16=has.has_bfloat16,
        has_float16=has.has_float16,
    )


def _add(cache: OrderedDict[str, T], key: str, value: T) -> None:
    """Add an entry; the oldest goes where there are too many."""
    cache[key] = value
    while len(cache) > _KEPT:
        cache.popitem(last=False)
