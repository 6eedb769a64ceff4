"""A loaded module of IREE's, and the handles that it takes and gives."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from iree import runtime as rt

from lowering.host.machine import BatchScheduling
from lowering.host.residency import forget_pages
from lowering.host.tensors import address
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_line
from lowering.targets.iree.declared import Declared, view_address
from lowering.targets.iree.drivers import choose_driver, device_of
from lowering.targets.iree.initialisers import INITIALISER, without_initialiser
from lowering.targets.iree.interface import MAIN, MAIN_IN, SCOPE
from lowering.targets.iree.limits import explain
from lowering.targets.iree.memory import CallMemory, Need
from lowering.targets.iree.weights import bound, lend
from lowering.targets.target import TargetOptions

if TYPE_CHECKING:
    from lowering.targets.iree.engine import Iree


class Handle:
    """An IREE buffer view, its type, and the addresses it covers (`start == end` when it has no elements).

    `device`: as `TargetOptions.place`. `owner`: the owner of imported memory, None for IREE's own.
    """

    __slots__ = ("device", "dtype", "end", "owner", "sizes", "start", "view")

    def __init__(
        self,
        view: rt.HalBufferView,
        dtype: DType,
        sizes: tuple[int, ...],
        start: int,
        nbytes: int,
        device: str,
        owner: object = None,
    ) -> None:
        self.view = view
        self.dtype = dtype
        self.sizes = sizes
        self.start = start
        self.end = start + nbytes
        self.device = device
        self.owner = owner


class IreeExecutable:
    """A loaded IREE module with its weights bound."""

    def __init__(
        self,
        engine: Iree,
        payload: bytes,
        module: Module,
        target: TargetOptions,
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self._engine = engine
        self._module = module
        self._inputs = tuple(port for port in module.inputs if port.weight is None)
        self._outputs = tuple(map(Declared.of, module.outputs))
        places = {port.name: at for at, port in enumerate(self._inputs)}
        self._donated = {made: places[module.inputs[given].name] for given, made in module.donations()}
        self._target = target
        self.driver = target.options.get("driver") or choose_driver(module, target)
        self._device = device_of(self.driver)
        self._waiting = BatchScheduling if self.driver == "local-task" else nullcontext
        self._weights = {
            name: bound(name, weights) for name in {p.weight for p in module.inputs if p.weight is not None}
        }
        self._spans = sorted(
            (address(array), address(array) + array.nbytes) for array in self._weights.values()
        )
        self._starts = [start for start, _ in self._spans]
        self._lock = threading.Lock()
        self._memory: CallMemory | None = None
        self._need: Need | None = None
        self._context, self._main = self._link(payload)

    def _link(self, payload: bytes) -> tuple[rt.VmContext, rt.VmFunction]:
        vm = instance()
        self._index = rt.ParameterIndex()
        for name, array in self._weights.items():
            self._index.add_buffer(name, lend(array))
        try:
            modules = [
                rt.create_hal_module(vm, self._device),
                rt.create_io_parameters_module(vm, self._index.create_provider(scope=SCOPE)),
                rt.VmModule.copy_buffer(vm, without_initialiser(payload)),
            ]
            context = rt.VmContext(vm, modules)
            if initialise := modules[-1].lookup_function(INITIALISER):
                context.invoke(initialise, rt.VmVariantList(0), rt.VmVariantList(0))
                # Most of them are packed now, and read no more.
                forget_pages(self._weights.values())
            main = modules[-1].lookup_function(MAIN)
            main_in = modules[-1].lookup_function(MAIN_IN)
        except Exception as error:
            raise EngineError(
                f"iree {self._module.name}: cannot load the binary: {explain(first_line(error))}"
            ) from None
        if main is None:
            raise EngineError(f"iree {self._module.name}: the binary has no function @{MAIN}")
        self._need = None if main_in is None else Need.of(modules[-1], main_in)
        if main_in is not None and self._need is not None:
            self._memory = CallMemory.of(self._device)
            return context, main_in
        return context, main

    @property
    def takes_memory(self) -> bool:
        """Whether a call brings the memory for what it makes and drops."""
        return self._memory is not None

    @property
    def own_bytes(self) -> int:
        """As its weights: a binary packs those that it multiplies by when it is loaded."""
        return sum(array.nbytes for array in self._weights.values())

    def resized(self, module: Module) -> IreeExecutable:
        """The same binary, of a module for all sizes, as one of this module's sizes."""
        made = copy(self)
        made._module = module
        made._need = None if self._need is None else self._need.anew()
        made._inputs = tuple(port for port in module.inputs if port.weight is None)
        made._outputs = tuple(map(Declared.of, module.outputs))
        return made

    def check_sizes(self, handles: Sequence[Handle]) -> None:
        """Raise EngineError for handles of other sizes than the module's."""
        for handle, port in zip(handles, self._inputs, strict=False):
            if handle.sizes != port.sizes:
                raise EngineError(
                    f"iree {self._module.name}: {port.name} is {list(handle.sizes)}, not {list(port.sizes)}"
                )

    def save_weights(self, path: Path) -> None:
        """Write the weights as IREE's own archive."""
        self._index.create_archive_file(str(path))

    def __call__(self, handles: Sequence[Handle]) -> list[Handle]:
        """Run; raises EngineError for handles that do not fit, and for IREE's own failures."""
        if len(handles) != len(self._inputs):
            raise EngineError(
                f"iree {self._module.name}: {len(handles)} arguments given, {len(self._inputs)} wanted"
            )
        arguments = rt.VmVariantList(len(handles) + 1)
        push = arguments.push_ref
        for handle in handles:
            push(handle.view)  # pyright: ignore[reportArgumentType]
        results = rt.VmVariantList(len(self._outputs))
        memory = self._memory
        try:
            with self._lock, self._waiting():
                if memory is None:
                    self._context.invoke(self._main, arguments, results)
                else:
                    buffer = self._taken(memory, handles)
                    push(buffer)  # pyright: ignore[reportArgumentType]
                    self._context.invoke(self._main, arguments, results)
                    memory.give(buffer)
        except Exception as error:
            raise EngineError(f"iree {self._module.name}: {first_line(error)}") from None
        try:
            return self._collect(handles, results)
        except (IndexError, TypeError, ValueError) as error:
            raise EngineError(
                f"iree {self._module.name}: not all results came: {first_line(error)}"
            ) from None

    def bare(self, handles: Sequence[Handle]) -> Callable[[], None]:
        """IREE's own call on these arguments: the baseline of a call's cost."""
        arguments = rt.VmVariantList(len(handles) + 1)
        for handle in handles:
            arguments.push_ref(handle.view)  # pyright: ignore[reportArgumentType]
        if self._memory is not None:
            arguments.push_ref(self._taken(self._memory, handles))  # pyright: ignore[reportArgumentType]
        count = len(self._outputs)
        return lambda: self._context.invoke(self._main, arguments, rt.VmVariantList(count))

    def _taken(self, memory: CallMemory, handles: Sequence[Handle]) -> rt.HalBuffer:
        assert self._need is not None, "a binary that takes memory says how much"
        return memory.take(self._need.of_call(self._context, (h.view for h in handles), memory))

    def _collect(self, handles: Sequence[Handle], results: rt.VmVariantList) -> list[Handle]:
        """Handles over the results; one that shares memory with an argument, a weight or another is copied.

        IREE returns one buffer for two equal results, and may return an argument's or a weight's own. A
        donated argument's is the result's to have.
        """
        taken = [(handle.start, handle.end) for handle in handles]
        outputs: list[Handle] = []
        for index, (dtype, sizes, nbytes, shape, elements, is_float8) in enumerate(self._outputs):
            view = results.get_as_object(index, rt.HalBufferView)
            # A binary may be another module's than it says, and reads are as large as the port.
            if view.byte_length != nbytes or view.shape != shape or view.element_type not in elements:
                raise EngineError(self._unlike_declared(index, view))
            start = view_address(self._device, view, is_float8) if nbytes else 0
            handle = Handle(view, dtype, sizes, start, nbytes, self._target.place)
            if index in self._donated and start == handles[self._donated[index]].start:
                handle = handles[self._donated[index]]
            elif nbytes and self._overlaps(start, handle.end, taken):
                handle = self._engine.copied(handle, self._target)
            taken.append((handle.start, handle.end))
            outputs.append(handle)
        return outputs

    def _unlike_declared(self, index: int, view: rt.HalBufferView) -> str:
        port = self._module.outputs[index]
        return (
            f"iree {self._module.name}: the binary gives {port.name} as {list(view.shape)} in "
            f"{view.byte_length} bytes, and the module says {list(port.sizes)} of {port.dtype}; "
            "compile the module anew"
        )

    def _overlaps(self, start: int, end: int, taken: list[tuple[int, int]]) -> bool:
        for other_start, other_end in taken:
            if start < other_end and other_start < end:
                return True
        # Weights are sorted, and disjoint or equal: only the last that starts before `end` can reach `start`.
        at = bisect_right(self._starts, end - 1) - 1
        return at >= 0 and self._spans[at][1] > start


@cache
def instance() -> rt.VmInstance:
    """The one that all modules of the process are loaded in."""
    return rt.VmInstance()
