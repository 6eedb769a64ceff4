"""The short way of a call: one segment on an engine, plain tensors, no effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lowering.host.tensors import aligned
from runtime.engine_call import EngineCall
from runtime.inputs import Binder
from runtime.report import Report
from runtime.step import Step

# How many combinations of the inputs' shapes are remembered as checked.
MAX_SHAPES = 1024
_NO_SYMBOLS: Mapping[str, Any] = {}


class FastCall:
    """A call of one segment without effects: nothing is looked up but what is loaded for its sizes."""

    # Less memory to touch: the engine's work has swept the caches.
    __slots__ = (
        "_binder", "_engine", "_is_static", "_known", "_order", "_picked", "_rebuild", "_report", "_static",
        "_step", "_target",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        loaded: EngineCall,
        order: tuple[int, ...],
        picked: tuple[int, ...] | None,
        binder: Binder,
        report: Report,
        rebuild: Callable[[list[Any]], Any],
    ) -> None:
        self._step = step
        self._is_static = not step.symbols
        self._static = step.static
        self._known: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        self._order = order
        self._picked = picked
        self._target = loaded.target
        self._report = report
        self._binder = binder
        self._rebuild = rebuild
        self._engine = loaded.engine

    def learn(self, shapes: tuple[Any, ...], symbols: Mapping[str, Any]) -> None:
        """Shapes that were checked, and the symbols that they bind."""
        if len(self._known) >= MAX_SHAPES:
            self._known.clear()
        self._known[tuple(tuple(shape) for shape in shapes)] = symbols

    def __call__(self, args: tuple[Any, ...]) -> Any:
        """The result, or NotImplemented for arguments that need more than this."""
        engine, binder, target = self._engine, self._binder, self._target
        shapes, symbols = None, _NO_SYMBOLS
        if not self._is_static:
            try:
                shapes = tuple([getattr(given, "shape", None) for given in args])
                symbols = self._known.get(shapes)
            except (TypeError, RuntimeError):  # no tensor, or a nested one: its shape is something else
                return NotImplemented
            if symbols is None:
                return NotImplemented
        if binder.fast_torch(args, shapes):
            try:
                starts = [given.data_ptr() for given in args]
            except RuntimeError:  # it stands for another tensor
                return NotImplemented
            for given, start in zip(args, starts):  # noqa: B905 - as many
                # Without memory it stands for another tensor, too, or has no elements.
                if start & 63 or not start or not given.is_contiguous():
                    return NotImplemented
            load, export = engine.from_known, engine.to_torch
        elif binder.fast_numpy(args, shapes):
            args = tuple([self._aligned(given) for given in args])
            load, export = engine.from_tensor, engine.to_numpy
        else:
            return NotImplemented
        loaded = self._static or self._step.ready(symbols)
        if loaded is None:
            return NotImplemented
        results = loaded.run([load(args[index], target) for index in self._order])
        self._report.calls += 1
        if self._picked is not None:
            results = [results[index] for index in self._picked]
        return self._rebuild([export(result) for result in results])

    def _aligned(self, given: np.ndarray) -> np.ndarray:
        dense = aligned(given)
        self._report.copies += dense is not given
        return dense
