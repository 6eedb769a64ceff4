"""Compiled code of a program's modules: as an artifact or the cache on disk brought it, else made now."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from bridge.compile_cache import open_cache
from bridge.vetting import vetted
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.module import Module
from lowering.passes.pipeline import is_observed
from lowering.targets.sources import digest
from lowering.targets.target import Built, CompilesDynamic, Engine, TargetOptions

T = TypeVar("T")

# How many binaries are kept of sizes that are not the example's, and which no artifact keeps.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Binary:
    """A compiled module. `version`: of the engine, with all else that its code depends on."""

    engine: str
    version: str
    device: str
    code: bytes


class Site(NamedTuple):
    """The engine and the options that a module is compiled for."""

    engine: Engine
    target: TargetOptions


class Binaries:
    """`kept`: binaries by key that an artifact keeps, which this adds to; the others stay here."""

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
        """The engine's binary of a module. `own`: whether an artifact keeps it.

        Raises EngineError.
        """
        key = cache_key(module, *site)
        own = own or key in self._kept
        kept = self._kept if own else self._others
        code = self._brought(key, kept)
        if code is None and not has_passes():
            key = cache_key(module, *site, rewritten=False)
            code = self._brought(key, kept)
        if own:
            self.used.add(key)
        if code is None:
            code = self._compiled(key, partial(_compile, module, site))
        binary = Binary(site.engine.name, site.engine.version(), site.target.device, code)
        if own:
            kept[key] = binary
        else:
            _add(self._others, key, binary)
        return code

    def built(self, module: Module, site: Site, own: bool) -> Built:
        """The module with its binary, and with that of its preflight; without donations where the engine
        refuses the preflight. Raises EngineError."""
        preflight = b""
        if module.preflight is not None:
            try:
                preflight = self.of(module.preflight, site, own)
            except EngineError:
                module = replace(module, donated=(), preflight=None)
        return Built(module, self.of(module, site, own), *site, preflight)

    def add(self, module: Module, site: Site, binary: bytes) -> None:
        """Take the binary that another process made of a module."""
        key = cache_key(module, *site)
        _add(self._others, key, Binary(site.engine.name, site.engine.version(), site.target.device, binary))

    def of_dynamic(self, module: DynamicModule, site: Site) -> bytes:
        """The engine's binary of a module for all sizes, which an artifact keeps. Raises EngineError."""
        assert isinstance(site.engine, CompilesDynamic)
        key = dynamic_key(module, site.engine, site.target)
        self.used.add(key)
        code = self._brought(key, self._kept)
        if code is None:
            code = self._compiled(key, partial(site.engine.compile_dynamic, module, site.target))
        self._kept[key] = Binary(site.engine.name, site.engine.version(), site.target.device, code)
        return code

    def kept(self, module: Module, site: Site) -> bytes | None:
        """The binary of a module of the example sizes, where an artifact or a compilation has it."""
        keys = (cache_key(module, *site, way) for way in (True, False))
        return next((self._kept[key].code for key in keys if key in self._kept), None)

    def _brought(self, key: str, kept: Mapping[str, Binary]) -> bytes | None:
        """The binary under a key, here or on disk. A caller who watches passes gets none that others made.

        Raises EngineError where the engine has refused the module.
        """
        if key in self._refused:
            raise EngineError(*self._refused[key])
        watched = is_observed()
        found = kept.get(key) or self._others.get(key)
        if found is not None and (key in self._made or not watched):
            return found.code
        return None if watched else self._cache.get(key)

    def _compiled(self, key: str, compile: Callable[[], bytes]) -> bytes:
        """Have the engine compile, and keep the binary on disk. Raises EngineError."""
        try:
            code = compile()
        except NoCompiler:
            raise
        except EngineError as error:
            _add(self._refused, key, (str(error), error.node))
            raise
        self._made.add(key)
        if not is_observed():
            self._cache.put(key, code)
        return code

    def drop(self, modules: Iterable[Module], site: Site) -> bool:
        """Forget binaries that do not load. An artifact or the cache on disk brought them, and may be at
        fault.

        Returns whether any was.
        """
        keys = [cache_key(module, *site, way) for module in modules for way in (True, False)]
        brought = [key for key in keys if key in self._kept and key not in self._made]
        for key in brought or keys:
            self._kept.pop(key, None)
            self._cache.drop(key)
        return bool(brought)


def _compile(module: Module, site: Site) -> bytes:
    return site.engine.compile(after_passes(vetted(module), site), site.target)


def cache_key(module: Module, engine: Engine, target: TargetOptions, rewritten: bool = True) -> str:
    """A SHA-256 digest, in hexadecimal, of all that a binary depends on. These are the module, the pipeline,
    the engine with its version and flags, the target, and the compiling sources.

    `rewritten`: whether the pipeline runs.
    """
    ports = [[port.dtype.value, port.sizes, port.weight] for port in (*module.inputs, *module.outputs)]
    passes = engine.pipeline(target).identity() if rewritten else ""
    return _key(engine, target, passes, [ports, module.donations()], module.code)


def dynamic_key(module: DynamicModule, engine: CompilesDynamic, target: TargetOptions) -> str:
    """The same digest of a module for all sizes."""
    ports = [[port.dtype.value, list(map(str, port.sizes)), port.weight, port.symbol]
             for port in (*module.inputs, *module.outputs)]  # fmt: skip
    passes = engine.dynamic_pipeline(target).identity()
    return _key(engine, target, passes, [ports, dict(module.ranges)], module.code)


def _key(engine: Engine, target: TargetOptions, passes: Any, types: list[Any], code: bytes) -> str:
    made_by = [engine.name, engine.version(), *engine.flags(target), digest(engine, target)]
    text = json.dumps([made_by, passes, target.device, sorted(target.options.items()), *types])
    return hashlib.sha256(text.encode() + b"\0" + code).hexdigest()


def has_passes() -> bool:
    """Whether jax, which passes over StableHLO need, is here."""
    try:
        import_module("lowering.stablehlo.passes.parsed")
    except ImportError:
        return False
    return True


def after_passes(module: Module, site: Site) -> Module:
    """The module after the engine's pipeline; as it is where that cannot run.

    Raises EngineError where it cannot run, and results rest on one of its passes.
    """
    pipeline = site.engine.pipeline(site.target)
    if not has_passes():
        if any(item.required for item in pipeline.passes):
            lacks = "its passes need the package jax, which is not installed: pip install jax"
            raise NoCompiler(f"{site.engine.name} {module.name}: {lacks}")
        return module
    from lowering.stablehlo.passes.parsed import rewritten

    return rewritten(module, pipeline)


def _add(cache: OrderedDict[str, T], key: str, value: T) -> None:
    """Add an entry; the oldest goes where there are too many."""
    cache[key] = value
    while len(cache) > _KEPT:
        cache.popitem(last=False)
