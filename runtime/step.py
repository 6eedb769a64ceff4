"""A step of a compiled program: one segment, with the executables of the sizes that calls come with."""

from __future__ import annotations

import operator
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from functools import partial
from time import perf_counter
from typing import Any, TypeVar
from weakref import WeakMethod

from lowering.host.machine import memory
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.plan import Placement, Segment
from lowering.ir.program import Node
from lowering.ir.symbols import Scalar, is_unbacked
from lowering.ir.unbacked import symbols_of
from lowering.ir.uses import used_from_outside
from lowering.targets import HOST_TITLE
from lowering.targets.packages import needs
from lowering.targets.target import HostExecutable
from runtime.bound_weights import BoundWeights
from runtime.dynamic_call import DynamicCalls
from runtime.engine_call import EngineCall, load
from runtime.frame import Frame, Shared
from runtime.host_call import HostCall
from runtime.padding import SegmentPadding
from runtime.report import Fallback, Tier
from runtime.specialisations import Key, OnNewSize, Specialisations

# At which call with sizes from the data they are compiled for; until then the segment runs on the host.
RECOMPILE_THRESHOLD = 2
# Executables of sizes that come with calls hold so much of the machine's memory: an eighth.
MEMORY_SHARE = 8
# How many sizes from the data are remembered as seen.
MAX_SEEN = 256
_NOT_YET: Mapping[str, Scalar] = {}
T = TypeVar("T")


class Step:
    """A segment, called with a frame: `step.call(frame)`.

    On an engine it is specialised to the sizes of a call, from a bounded cache. At sizes that the engine
    refuses, or that are still being compiled, it runs on its binary for all sizes, or on the host. The report
    says so. `padding`: the larger sizes that calls run at. A segment that the plan places on the host is
    compiled once, for all sizes.
    """

    def __init__(
        self,
        shared: Shared,
        weights: BoundWeights,
        segment: Segment,
        nodes: Sequence[Node],
        capacity: int,
        padding: SegmentPadding | None = None,
    ) -> None:
        self.segment = segment
        self.weights = weights
        self._padding = padding
        if padding is not None:
            shared.report.padding[segment.index] = {n: s.sizes for n, s in padding.symbols.items()}
        # The larger sizes that calls run at, as found.
        self._larger: dict[Key, Mapping[str, Scalar] | None] = {}
        self.on_engine = segment.placement is Placement.STABLEHLO
        self._shared = shared
        self._nodes = nodes
        self._capacity = capacity
        self._lock = threading.Lock()
        self._on_host: HostCall | None = None
        # Its module depends on these symbols. Without any it is loaded once, now.
        self.symbols = symbols_of(shared.graph, segment.inputs, nodes) if self.on_engine else ()
        # Sizes that only the data gives are compiled for when they come again, as long as they are few.
        self.threshold = RECOMPILE_THRESHOLD if any(map(is_unbacked, self.symbols)) else 0
        self._specialisations = self._no_sizes()
        self._compiled = 0
        self._seen: OrderedDict[Key, int] = OrderedDict()
        self._dynamic: DynamicCalls | None = None
        self.static = self._load_or_fall_back({}) if self.on_engine and not self.symbols else None
        self._fixed = None if self.symbols else self.static or self.on_host()
        if self.symbols:
            self._dynamic = self._load_dynamic()

    def _no_sizes(self) -> Specialisations[EngineCall]:
        origin = self._shared.origin
        # A step that others have replaced goes at once, with its weights.
        return Specialisations(
            _while_there(self._load_or_fall_back, None),
            self._capacity,
            self._shared.report,
            _while_there(self._waits, False),
            self.threshold or 1,
            _while_there(self._is_at_hand, False),
            None if origin is None else partial(origin.compile_aside, self.segment),
            operator.attrgetter("own_bytes"),
            memory() // MEMORY_SHARE,
        )

    def reads(self, names: Collection[str]) -> bool:
        """Whether the segment reads a weight of these full names."""
        constants = self._shared.constants
        return any(constants.get(value) in names for value in used_from_outside(self._nodes))

    def anew(self, weights: BoundWeights) -> Step:
        """The segment over other weights, loaded for all that it was loaded for. Raises EngineError.

        No binary that is kept is compiled again.
        """
        made = copy(self)
        made.weights = weights
        made._lock = threading.Lock()
        with self._lock:
            made._seen = self._seen.copy()
            hosted = self._on_host is not None
        made._specialisations = made._no_sizes()
        made._on_host = made._compile_for_host() if hosted else None
        if self._dynamic is not None:
            made._dynamic = DynamicCalls(self._shared, weights, self._dynamic.built)
        if self.static is not None:
            made.static = load(self._shared, weights, self.segment, {})
        made._fixed = None if self.symbols else made.static or made.on_host()
        made._specialisations.take_over(
            self._specialisations, lambda key: load(self._shared, weights, self.segment, self._sizes_of(key))
        )
        return made

    def resume(self) -> None:
        """Compile for the sizes that were to be compiled in the background when this was made anew."""
        self._specialisations.resume(self._sizes_of)

    @property
    def on_host_now(self) -> HostExecutable | None:
        """The segment on the host, if it has run there or is to."""
        return None if self._on_host is None else self._on_host.executable

    @property
    def call(self) -> Callable[[Frame], None]:
        """Runs the segment. Where sizes do not matter, nothing is looked up."""
        return self._fixed or self._call_at_sizes

    def _call_at_sizes(self, frame: Frame) -> None:
        loaded = self._own(frame.symbols)
        if loaded is not None:
            loaded(frame)
            return
        start = perf_counter()
        self._meanwhile(frame.symbols)(frame)
        key = self._key(self._padded(frame.symbols) or frame.symbols)
        self._specialisations.took(key, perf_counter() - start)

    def chosen(self, symbols: Mapping[str, Scalar]) -> EngineCall | HostCall:
        """The call that runs the segment at these sizes."""
        return self._fixed or self._own(symbols) or self._meanwhile(symbols)

    def _own(self, symbols: Mapping[str, Scalar]) -> EngineCall | None:
        """The call for these sizes; None where it is the host's, or is not compiled yet."""
        if (found := self.ready(symbols)) is not None:
            return found
        larger = self._padded(symbols)
        key, sizes = self._key(larger or symbols), self._sizes(larger or symbols)
        if self.segment.index in self._shared.report.no_compiler and not self._is_at_hand(sizes):
            self._shared.report.deferred += 1
            return None
        waits = self._waits()
        if waits and self.threshold and not self._specialisations.knows(key) and not self._pays(key, sizes):
            self._shared.report.postponed += 1
            return None
        return self._served(self._specialisations.get(key, sizes), symbols, larger)

    def _served(
        self,
        found: EngineCall | None,
        symbols: Mapping[str, Scalar],
        larger: Mapping[str, Scalar] | None,
        counts: bool = True,
    ) -> EngineCall | None:
        """A call that is there, on whose executable others of smaller sizes run."""
        if found is None:
            return None
        report = self._shared.report
        if counts:
            report.serve(Tier.STATIC, padded=larger is not None)
        if self._padding is None or larger is None:
            return found
        return self._padding.call(found, self._sizes(symbols), larger, report)

    def _padded(self, symbols: Mapping[str, Scalar]) -> Mapping[str, Scalar] | None:
        """The larger sizes that a call at these runs at; None where it runs at its own."""
        if self._padding is None:
            return None
        key = self._key(symbols)
        # Others may clear it meanwhile.
        found = self._larger.get(key, _NOT_YET)
        if found is _NOT_YET:
            if len(self._larger) >= MAX_SEEN:
                self._larger.clear()
            found = self._larger[key] = self._padding.larger(self._sizes(symbols))
        return found

    def _meanwhile(self, symbols: Mapping[str, Scalar]) -> EngineCall | HostCall:
        """The call at sizes that are not compiled, or that the engine refuses."""
        call = self._dynamic.at(self._sizes(symbols)) if self._dynamic is not None else None
        self._shared.report.serve(Tier.DYNAMIC if call is not None else Tier.HOST)
        return call or self.on_host()

    def ready(self, symbols: Mapping[str, Scalar]) -> EngineCall | None:
        """The call that is loaded for these sizes, which is counted; None where there is none yet."""
        if not self.symbols:
            return self.static
        found = self._specialisations.ready(self._key(symbols))
        larger = self._padded(symbols) if found is None else None
        if larger is not None:
            found = self._specialisations.ready(self._key(larger))
        return self._served(found, symbols, larger)

    def any_ready(self) -> EngineCall | None:
        """A call that is loaded, for whichever sizes."""
        return self.static or self._specialisations.any_ready()

    def prepare(self, symbols: Mapping[str, Scalar]) -> None:
        """Load the segment for these sizes, and keep it. Sizes from the data are not known beforehand."""
        if self.symbols and not self.threshold:
            self._specialisations.prepare(self._key(symbols), self._sizes(symbols))

    def _is_at_hand(self, sizes: Mapping[str, Scalar]) -> bool:
        origin = self._shared.origin
        return origin is not None and origin.is_at_hand(self.segment, sizes)

    @property
    def compiled(self) -> list[dict[str, Scalar]]:
        """The sizes, other than the data's, that are compiled for."""
        if self.threshold:
            return []
        return list(map(self._sizes_of, self._specialisations.keys()))

    def _sizes_of(self, key: Key) -> dict[str, Scalar]:
        return {n: v for n, v in zip(self.symbols, key, strict=True) if v is not None}

    def _key(self, symbols: Mapping[str, Scalar]) -> Key:
        return tuple(symbols.get(name) for name in self.symbols)

    def _sizes(self, symbols: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {name: symbols[name] for name in self.symbols if name in symbols}

    def _waits(self) -> bool:
        """Whether a call at new sizes waits for the compiler.

        To import torch would take as long. And equal calls are not to give other results later.
        """
        way, origin = self._shared.on_new_size, self._shared.origin
        if way is not OnNewSize.DYNAMIC or self._dynamic is not None:
            return way is OnNewSize.WAIT
        needs_torch = self._on_host is None and "torch" not in sys.modules
        return needs_torch or (origin is not None and origin.host_differs)

    def _pays(self, key: Key, sizes: Mapping[str, Scalar]) -> bool:
        """Whether sizes from the data are compiled for: they came before, and not too many others did."""
        with self._lock:
            if self._compiled >= self._capacity:
                return False
            seen = self._seen.pop(key, 0) + 1
            if seen < self.threshold:
                self._seen[key] = seen
                if len(self._seen) > MAX_SEEN:
                    self._seen.popitem(last=False)
                return False
            self._compiled += 1
            if self._compiled == self._capacity:
                reason = f"the data gave {self._capacity} sizes that came again; no others are compiled"
                self._shared.report.fall_back(Fallback(self.segment.index, sizes, reason))
            return True

    def peek(self, symbols: Mapping[str, Scalar]) -> EngineCall | None:
        """The call that is loaded for these sizes, without loading or counting."""
        if not self.symbols:
            return self.static
        found = self._specialisations.peek(self._key(symbols))
        larger = self._padded(symbols) if found is None else None
        if larger is not None:
            found = self._specialisations.peek(self._key(larger))
        return self._served(found, symbols, larger, counts=False)

    def _load_dynamic(self) -> DynamicCalls | None:
        shared = self._shared
        if shared.on_new_size is not OnNewSize.DYNAMIC or shared.origin is None:
            return None
        try:
            return DynamicCalls(shared, self.weights, shared.origin.dynamic(self.segment))
        except EngineError as error:
            shared.report.no_dynamic[self.segment.index] = str(error)
            return None

    def _load_or_fall_back(self, sizes: Mapping[str, Scalar]) -> EngineCall | None:
        try:
            return load(self._shared, self.weights, self.segment, sizes)
        except EngineError as error:
            if isinstance(error, NoCompiler) and self._dynamic is not None:
                self._shared.report.no_compiler[self.segment.index] = str(error)
                return None
            self._shared.report.fall_back(Fallback(self.segment.index, sizes, str(error), error.node))
            return None

    def on_host(self) -> HostCall:
        """The same nodes on the host, for all sizes."""
        with self._lock:
            if self._on_host is None:
                self._on_host = self._compile_for_host()
            return self._on_host

    def _compile_for_host(self) -> HostCall:
        try:
            return HostCall(self._shared, self.weights.weights, self.segment, self._nodes)
        except ModuleNotFoundError as error:
            index, report = self.segment.index, self._shared.report
            told = [fallback.reason for fallback in report.fallbacks[::-1] if fallback.segment == index]
            told += [report.plan.reasons[name] for name in self.segment.nodes if name in report.plan.reasons]
            reason = f"; {told[0]}" if told else ""
            raise EngineError(
                f"segment {index} has to run on {HOST_TITLE}, which {needs(error)}{reason}"
            ) from error


def _while_there(method: Callable[..., T], otherwise: T) -> Callable[..., T]:
    """A method that does not keep its object; its result is this one once that is gone."""
    ref = WeakMethod(method)

    def call(*given: Any) -> T:
        found = ref()
        return otherwise if found is None else found(*given)

    return call
