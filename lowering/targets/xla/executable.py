"""A loaded XLA executable, and the handles that it takes and gives.

A raw executable checks nothing but byte sizes. So every handle is dense and row-major; the caller checks
dtypes and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.host.residency import forget_pages
from lowering.host.tensors import numpy_dtype
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_line
from lowering.targets.target import TargetOptions
from lowering.targets.xla.binary import Parts
from lowering.targets.xla.client import FAILURES, load_binary
from lowering.targets.xla.hoisted import Made, shared_results

if TYPE_CHECKING:
    from lowering.targets.xla.engine import Xla


class Handle:
    """An XLA buffer and its element type and sizes: imported memory may bear an integer type of that size.

    `owner`: the owner of imported memory, None for XLA's own. XLA must not: see `lowering.host.dlpack`.
    """

    __slots__ = ("array", "dtype", "owner", "sizes")

    def __init__(self, array: Any, dtype: DType, sizes: tuple[int, ...], owner: Any = None) -> None:
        self.array = array
        self.dtype = dtype
        self.sizes = sizes
        self.owner = owner


class XlaExecutable:
    """A loaded XLA executable with its weights bound."""

    __slots__ = ("_arguments", "_loaded", "_made", "_name", "_outputs", "_slots", "_types", "_weights")

    def __init__(
        self,
        engine: Xla,
        parts: Parts,
        module: Module,
        target: TargetOptions,
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self._name = module.name
        self._loaded = load_binary(parts.main, module.name, target)
        self._slots = tuple(at for at, source in enumerate(parts.inputs) if source is None)
        self._types = tuple((port.dtype, port.sizes) for port in module.outputs)
        # Until a call has shown that the binary gives what the module says.
        self._outputs: tuple[Port, ...] | None = module.outputs
        bound: dict[str, Handle] = {}

        def weight(name: str) -> Handle:
            if name not in weights:
                raise EngineError(f"xla {module.name}: the weight {name!r} was not given")
            if name not in bound:
                bound[name] = engine.from_tensor(weights[name], target)
            return bound[name]

        self._made: list[Made] = []
        if parts.load is not None:
            self._made = _results_at_load(
                parts, [weight(name) for name in parts.load_inputs], module.name, target
            )
            bound.clear()
        made = [result.array for result in self._made]
        if any(isinstance(source, int) and not 0 <= source < len(made) for source in parts.inputs):
            raise EngineError(
                f"xla {self._name}: cannot load the binary: its part for load time is another's"
            )
        self._arguments: list[Any] = [
            made[source] if isinstance(source, int) else weight(source).array if source is not None else None
            for source in parts.inputs
        ]
        self._weights = tuple(bound.values())
        if target.device == "cpu":
            forget_pages(weights[name] for name in parts.load_inputs if name not in bound)

    def __call__(self, handles: Sequence[Handle]) -> list[Handle]:
        """Run, and wait: arguments are the caller's memory. Raises EngineError."""
        if len(handles) != len(self._slots):
            raise EngineError(f"xla {self._name}: {len(handles)} arguments given, {len(self._slots)} wanted")
        arguments = self._arguments.copy()
        for at, handle in zip(self._slots, handles):  # noqa: B905 - as many, and strict costs time
            arguments[at] = handle.array
        try:
            arrays = self._loaded.execute(arguments)
            for array in arrays:
                array.block_until_ready()
        except FAILURES as error:
            raise EngineError(f"xla {self._name}: {first_line(error)}") from None
        if self._outputs is not None:
            self._check(arrays, self._outputs)
        return [Handle(array, *type_) for array, type_ in zip(arrays, self._types)]  # noqa: B905 - as many

    def _check(self, arrays: Sequence[Any], ports: tuple[Port, ...]) -> None:
        """Raise EngineError where the binary is another module's than it says: reads are as large as the
        port. An executable's results are of the same types in every call."""
        if len(arrays) != len(ports):
            raise EngineError(
                f"xla {self._name}: the binary gives {len(arrays)} results, and the module says "
                f"{len(ports)}; compile the module anew"
            )
        for array, port in zip(arrays, ports, strict=True):
            if array.shape != port.sizes or array.dtype != numpy_dtype(port.dtype):
                raise EngineError(
                    f"xla {self._name}: the binary gives {port.name} as {list(array.shape)} of "
                    f"{array.dtype}, and the module says {list(port.sizes)} of {port.dtype}; "
                    "compile the module anew"
                )
        self._outputs = None

    @property
    def loaded(self) -> Any:
        """The executable of XLA's client."""
        return self._loaded

    def bare(self, handles: Sequence[Handle]) -> Callable[[], None]:
        """XLA's own call on these arguments, results waited for: the baseline of our cost."""
        arguments = self._arguments.copy()
        for at, handle in zip(self._slots, handles, strict=True):
            arguments[at] = handle.array

        def call() -> None:
            for array in self._loaded.execute(arguments):
                array.block_until_ready()

        return call


def _results_at_load(parts: Parts, weights: Sequence[Handle], name: str, target: TargetOptions) -> list[Made]:
    """The results of a load-time part on these weights. Raises EngineError."""

    def run() -> list[Any]:
        assert parts.load is not None
        try:
            arrays = load_binary(parts.load, name, target).execute([handle.array for handle in weights])
            for array in arrays:
                array.block_until_ready()
        except FAILURES as error:
            raise EngineError(f"xla {name}: the part for load time failed: {first_line(error)}") from None
        if len(arrays) != len(parts.made):
            raise EngineError(f"xla {name}: cannot load the binary: its part for load time is another's")
        return arrays

    starts = [handle.array.unsafe_buffer_pointer() for handle in weights]
    return shared_results(parts.made, weights, starts, target.place, run)
