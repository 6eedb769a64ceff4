"""A segment's binary for all sizes: loaded once, and called at any sizes that its module admits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from lowering.ir.symbols import Scalar
from lowering.targets.target import Built, BuiltDynamic
from runtime.bound_weights import BoundWeights
from runtime.checks import Checked
from runtime.engine_call import EngineCall
from runtime.frame import Shared

# How many sizes' types are kept: they are small.
MAX_SIZES = 256


class DynamicCalls:
    """The calls of one segment on its binary for all sizes, by the values of its symbols."""

    def __init__(self, shared: Shared, weights: BoundWeights, built: BuiltDynamic) -> None:
        self._shared = shared
        self.built = built
        given = weights.arrays(port.weight for port in built.module.inputs)
        self._loaded = built.engine.load_dynamic(built.binary, built.module, built.target, given)
        self._calls: OrderedDict[tuple[Scalar, ...], EngineCall] = OrderedDict()
        self._lock = threading.Lock()
        shared.engines[built.engine.handle] = built.engine

    def at(self, sizes: Mapping[str, Scalar]) -> EngineCall | None:
        """The call at these sizes; None where the module is not for them."""
        key = tuple(sizes.values())
        with self._lock:
            if key in self._calls:
                self._calls.move_to_end(key)
                return self._calls[key]
        if not self.built.module.admits(sizes):
            return None
        call = self._made(dict(sizes))
        with self._lock:
            self._calls[key] = call
            if len(self._calls) > MAX_SIZES:
                self._calls.popitem(last=False)
        return call

    def _made(self, sizes: Mapping[str, Scalar]) -> EngineCall:
        dynamic = self.built
        module = dynamic.module.at(sizes)
        # Sizes that are arguments of their own are the executable's to give.
        shown = [
            port for port, own in zip(module.inputs, dynamic.module.inputs, strict=True) if own.symbol is None
        ]
        module = replace(module, inputs=tuple(shown))
        built = Built(module, dynamic.binary, dynamic.engine, dynamic.target)
        executable = self._loaded.at(sizes)
        run = Checked(executable, built, module.checks) if module.checks else executable
        return EngineCall(self._shared, run, executable, built, partial(_same, built))


def _same(built: Built) -> Built:
    return built
