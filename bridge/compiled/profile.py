"""A profile: the spans of a call, one after another and one inside another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Literal, NamedTuple

from bridge.compiled.hooks import Hooks
from lowering.ir.module import Port
from lowering.ir.plan import Segment
from lowering.ir.program import Node, Program
from lowering.ir.uses import computed_by
from lowering.targets import HOST_NAME
from lowering.targets.target import Executable, Kernel, Record, Results, Tracing
from runtime.engine_call import EngineCall
from runtime.executor import Call
from runtime.frame import Frame
from runtime.report import Report

Kind = Literal["bind", "step", "import", "export", "execute", "kernel", "operator", "results"]


class Span(NamedTuple):
    """A stretch of a call.

    Kinds: in a `bind`, arguments are checked. A `step` is a segment, with all inside it. In an `import`, a
    tensor becomes an engine's; in an `export`, an engine's becomes the host target's. In an `execute`, an
    engine runs a segment; a `kernel` is a part of that. An `operator` is a node of the host target. In
    `results`, outputs are exported, and inputs and buffers written.

    `name`: of the value, the engine, the kernel, or the operator.
    `start`: seconds since the call began. `nodes`: names of the nodes that are computed, or a part of them.
    `lane`: of a kernel its thread.
    """

    kind: Kind
    name: str
    start: float
    seconds: float
    segment: int = -1
    nodes: tuple[str, ...] = ()
    lane: int = 0


@dataclass(frozen=True)
class Profile:
    """The spans of one call. `seconds`: of the call. `engine`: as the report names it. `placed`: by segment
    the engine that ran it, or the host target. `copies`: tensors copied into an engine. `symbols`: their
    values in the call."""

    program: Program
    engine: str
    seconds: float
    spans: tuple[Span, ...]
    segments: Mapping[int, Segment]
    placed: Mapping[int, str]
    copies: int
    symbols: Mapping[str, Any]

    def __repr__(self) -> str:
        steps = len(self.placed)
        return f"Profile({self.engine}, {self.seconds * 1e3:.3f} ms, {steps} steps, {len(self.spans)} spans)"

    def of(self, *kinds: Kind) -> list[Span]:
        """The spans of these kinds, in order of time."""
        return [span for span in self.spans if span.kind in kinds]

    @property
    def step_seconds(self) -> tuple[float, ...]:
        """The seconds of each step, in order."""
        return tuple(span.seconds for span in self.of("step"))


class Profiler:
    """Makes the profile of one call. Its clock stands while an engine does what no call does.

    `hooks`: they see the steps too.
    """

    def __init__(self, program: Program, report: Report, kernels: bool, hooks: Hooks | None = None) -> None:
        self._program = program
        self._report = report
        self._kernels = kernels
        self._hooks = hooks
        self._copies = report.copies
        self._spans: list[Span] = []
        self._segments: dict[int, Segment] = {}
        self._placed: dict[int, str] = {}
        self._symbols: dict[str, Any] = {}
        self._nodes = {node.name: node for node in program.graph.nodes}
        self._start = perf_counter()
        self._end = 0.0

    @contextmanager
    def span(self, kind: Kind, name: str = "", segment: int = -1) -> Iterator[None]:
        """A stretch that ends with the block."""
        start = self._now()
        yield
        self._add(kind, name, start, self._now(), segment)

    def begin(self) -> None:
        """The arguments of the call are checked."""
        self.mark("bind")

    def step(self, segment: Segment, call: Call, frame: Frame, is_torch: bool) -> None:
        """Run a step, which hooks see too."""
        inner = partial(self._run, segment, call)
        if self._hooks:
            self._hooks.run(segment, call, frame, inner, is_torch)
        else:
            inner(frame)

    def end(self, frame: Frame) -> None:
        """The results are there."""
        self.mark("results", frame.symbols)

    def _run(self, segment: Segment, call: Call, frame: Frame) -> None:
        began = perf_counter()
        self._segments[segment.index] = segment
        if isinstance(call, EngineCall):
            self._placed[segment.index] = call.engine.name
            watched = partial(
                call, frame, self._executing(segment, call), partial(self._import, segment, call)
            )
        else:
            self._placed[segment.index] = HOST_NAME
            computed = computed_by(call.executable.nodes, [self._nodes[name] for name in segment.nodes])
            run = call.executable.timed(partial(self._operator, segment.index, computed))
            watched = partial(call, frame, run, partial(self._export, segment, call.take))
        self._start += perf_counter() - began
        with self.span("step", segment=segment.index):
            watched()

    def whole(self, segment: Segment, run: Callable[[Record], Results]) -> Results:
        """Run all nodes one by one on the host, as one segment. `run` gets the function that records each."""
        self._segments[segment.index], self._placed[segment.index] = segment, HOST_NAME
        own = {name: (name,) for name in segment.nodes}
        with self.span("step", segment=segment.index):
            return run(partial(self._operator, segment.index, own))

    def mark(self, kind: Kind, symbols: Mapping[str, Any] | None = None) -> None:
        """End a stretch that began with the call or with the end of the last step."""
        self._add(kind, "", self._end, self._now(), -1)
        self._symbols = dict(symbols or {})

    def profile(self) -> Profile:
        """The profile of the call that has just ended."""
        spans = tuple(sorted(self._spans, key=lambda span: (span.start, -span.seconds)))
        copies, engine = self._report.copies - self._copies, self._report.engine
        return Profile(
            self._program, engine, self._end, spans, self._segments, self._placed, copies, self._symbols
        )

    def _now(self) -> float:
        return perf_counter() - self._start

    def _add(
        self, kind: Kind, name: str, start: float, end: float, segment: int, nodes: tuple[str, ...] = ()
    ) -> None:
        self._spans.append(Span(kind, name, start, end - start, segment, nodes))
        self._end = max(self._end, end)

    def _import(self, segment: Segment, call: EngineCall, frame: Frame, port: Port, handle: Any) -> Any:
        with self.span("import", port.name, segment.index):
            return call.take(frame, port, handle)

    def _export(self, segment: Segment, take: Callable[[Frame, str], Any], frame: Frame, name: str) -> Any:
        if name in frame.host:
            return take(frame, name)
        with self.span("export", name, segment.index):
            return take(frame, name)

    def _operator(
        self, segment: int, computed: Mapping[str, tuple[str, ...]], node: Node, start: float, end: float
    ) -> None:
        nodes = computed.get(node.name, ())
        self._add("operator", node.target, start - self._start, end - self._start, segment, nodes)

    def _executing(self, segment: Segment, call: EngineCall) -> Executable:
        def run(handles: Sequence[Any]) -> list[Any]:
            return self._execute(segment, call, handles)

        return run

    def _execute(self, segment: Segment, call: EngineCall, given: Sequence[Any]) -> list[Any]:
        """Run an engine's segment; the clock stands while it prepares to be traced, and afterwards."""
        first = last = 0.0

        def run() -> list[Any]:
            nonlocal first, last
            first = self._now()
            results = call.run(given)
            last = self._now()
            return results

        engine = call.engine
        if not self._kernels or not isinstance(engine, Tracing):
            results, kernels = run(), []
        else:
            called = self._now()
            handles = given if call.padded is None else call.padded.enlarged(given)
            results, kernels = engine.trace(call.executable, call.built(), handles, run)
            # The clock stood from the one call to the other, and stands since.
            self._start += self._now() - last + first - called
            first, last = called, called + last - first
        self._add("execute", engine.name, first, last, segment.index)
        own = set(segment.nodes)
        for kernel in kernels:
            self._spans.append(_span_of(kernel, first, segment.index, own))
        return results


def _span_of(kernel: Kernel, start: float, segment: int, own: set[str]) -> Span:
    nodes = tuple(name for name in kernel.nodes if name in own)
    return Span("kernel", kernel.name, start + kernel.start, kernel.seconds, segment, nodes, kernel.lane)
