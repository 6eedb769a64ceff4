"""A segment on an engine: the module of some sizes, loaded, and called with a frame's handles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.host.tensors import numpy_dtype
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.plan import Segment
from lowering.ir.symbols import Scalar
from lowering.ir.types import SymType
from lowering.targets.target import Built, Executable, Holding
from runtime.bound_weights import BoundWeights
from runtime.checks import Checked, Preflighted
from runtime.frame import Frame, Shared, import_tensor, read_scalar

if TYPE_CHECKING:
    from runtime.padding import Memory, Padded

Take = Callable[[Frame, Port, Any], Any]


class EngineCall:
    """A segment loaded for some sizes.

    `run`: the call. `executable`: the engine's own, without the checks of the data around it. `built`: gives
    what was loaded. `inputs`: the ports that come with each call. `outputs`: the results' names. `donated`:
    places of the inputs that a call overwrites, and the names of the results that lie there then.
    `smaller`: the calls at smaller sizes that run on this, see `runtime.padding`. `padded`: the `run` of one.
    `spare`: memory for their arguments, a set for each call that runs at a time.
    """

    __slots__ = (
        "_scalars", "_shared", "built", "donated", "engine", "executable", "inputs", "outputs", "padded",
        "run", "smaller", "spare", "target",
    )  # fmt: skip

    def __init__(
        self,
        shared: Shared,
        run: Executable,
        executable: Executable,
        built: Built,
        rebuild: Callable[[], Built],
    ) -> None:
        module = built.module
        self._shared = shared
        self.smaller: dict[tuple[Scalar, ...], EngineCall] = {}
        self.spare: deque[Memory] = deque()
        self.padded: Padded | None = None
        self.run = run
        self.executable = executable
        # Not the thing itself: nothing but a profile needs the binary again.
        self.built = rebuild
        self.engine = built.engine
        self.target = built.target
        self.inputs = tuple(port for port in module.inputs if port.weight is None)
        outputs = module.outputs[:-1] if module.checks else module.outputs
        self.outputs = tuple(port.name for port in outputs)
        places = {port.name: place for place, port in enumerate(self.inputs)}
        self.donated = tuple((places[given], made) for given, made in module.donated)
        values = shared.graph.values
        self._scalars = {port.name for port in self.inputs if isinstance(values.get(port.name), SymType)}

    @property
    def own_bytes(self) -> int:
        """How much memory it holds, at most, that goes with it."""
        return self.executable.own_bytes if isinstance(self.executable, Holding) else 0

    def __call__(self, frame: Frame, run: Executable | None = None, take: Take | None = None) -> None:
        """Call the segment. A profile puts `run` and `take` in the places of this object's own."""
        handles, own = frame.handles, self.engine.handle
        run, take = run or self.run, take or self.take
        given = [
            handle if type(handle := handles.get(port.name)) is own else take(frame, port, handle)
            for port in self.inputs
        ]
        for place, _ in self.donated:
            given[place] = self.engine.own(given[place], self.target)
        for name, made in zip(self.outputs, run(given), strict=True):
            handles[name] = made
        for place, made in self.donated:
            frame.overwritten[self.inputs[place].name] = made

    def take(self, frame: Frame, port: Port, foreign: Any) -> Any:
        """An argument from host form, or from another engine's handle, which stays the value's own."""
        shared = self._shared
        if foreign is not None:
            return import_tensor(self.engine, self.target, shared.report, shared.to_torch(foreign))
        if port.name in self._scalars:
            value = np.array(read_scalar(shared, frame, port.name), numpy_dtype(port.dtype))
        else:
            value = frame.host[port.name]
        handle = import_tensor(self.engine, self.target, shared.report, value)
        frame.handles[port.name] = handle
        return handle


def load(shared: Shared, weights: BoundWeights, segment: Segment, sizes: Mapping[str, Scalar]) -> EngineCall:
    """Compile a segment for these sizes and load it. Raises EngineError."""
    if shared.specialise is None:
        raise EngineError("no engine was given")
    rebuild = partial(shared.specialise, segment, dict(sizes))
    built = rebuild()
    module = built.module
    run = executable = _bind(weights, built, module, built.binary)
    if module.preflight is not None:
        run = Preflighted(run, _bind(weights, built, module.preflight, built.preflight), built)
    elif module.checks:
        run = Checked(run, built, module.checks)
    shared.engines[built.engine.handle] = built.engine
    return EngineCall(shared, run, executable, built, rebuild)


def _bind(weights: BoundWeights, built: Built, module: Module, binary: bytes) -> Executable:
    """A module loaded with its weights."""
    given = weights.arrays(port.weight for port in module.inputs)
    return built.engine.load(binary, module, built.target, given)
