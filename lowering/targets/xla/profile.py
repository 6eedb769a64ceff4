"""The thunks that XLA runs in a call, as its own profiler sees them, and the nodes that they compute.

XLA names a thunk as an instruction of the optimised module. The instruction, and those of the computations
that it calls, have the names of the nodes that they come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jax import profiler
from jaxlib import _profiler  # pyright: ignore[reportAttributeAccessIssue]

from lowering.ir.errors import EngineError
from lowering.targets.diagnostics import first_line
from lowering.targets.target import Kernel, Results

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
# Operations that several nodes share: XLA keeps one of equal ones.
_SHARED = re.compile(r" (?:bitcast|broadcast|constant|get-tuple-element|iota|parameter|tuple)\(")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|condition|select|scatter)=%?([\w.\-]+)")
_SEVERAL_CALLED = re.compile(r"\b(?:branch_computations|called_computations)=\{([^}]*)\}")
_NODE = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')


def traced(loaded: Any, call: Callable[[], Results]) -> tuple[Results, list[Kernel]]:
    """The results of `call`, and the thunks of an executable of XLA's client that ran in it.

    Raises EngineError where another profiler of XLA is at work.
    """
    options = profiler.ProfileOptions()
    options.python_tracer_level = 0
    session = _profiler.ProfilerSession(options)
    try:
        results = call()
    finally:
        data = _stopped(session)
    nodes = nodes_of(module.to_string() for module in loaded.hlo_modules())
    return results, list(_kernels(data, nodes))


def _stopped(session: Any) -> Any:
    try:
        return session.stop_and_get_profile_data()
    except RuntimeError as error:
        raise EngineError(f"xla: cannot profile: {first_line(error)}") from None


def _kernels(data: Any, nodes: dict[str, tuple[str, ...]]) -> Iterator[Kernel]:
    lines = [list(line.events) for plane in data.planes for line in plane.lines]
    # The first event is that the client starts.
    began = min((event.start_ns for events in lines for event in events), default=0.0)
    for lane, events in enumerate(lines):
        for event in events:
            name = dict(event.stats).get("hlo_op")
            if isinstance(name, str):
                start = (event.start_ns - began) / 1e9
                yield Kernel(name, nodes.get(name, ()), start, event.duration_ns / 1e9, lane)


@dataclass
class _Instruction:
    nodes: list[str]
    called: list[str]


@dataclass
class _Module:
    computations: dict[str, list[_Instruction]] = field(default_factory=dict)
    instructions: dict[str, _Instruction] = field(default_factory=dict)


def nodes_of(texts: Iterator[str]) -> dict[str, tuple[str, ...]]:
    """By instruction the names of the nodes that it comes from, those of what it calls included."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        module = _read(text)
        for name, instruction in module.instructions.items():
            found[name] = tuple(_all_nodes(instruction, module, set()))
    return found


def _read(text: str) -> _Module:
    module = _Module()
    current: list[_Instruction] = []
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            current = module.computations[head[1]] = []
        elif found := _INSTRUCTION.match(line):
            called = _CALLED.findall(line)
            for several in _SEVERAL_CALLED.findall(line):
                called += [name.strip().lstrip("%") for name in several.split(",")]
            node = None if _SHARED.search(line) else _NODE.search(line)
            # Of operations that became one, the names are joined.
            instruction = _Instruction(re.split(r"[;/]", node[1]) if node else [], called)
            module.instructions[found[1]] = instruction
            current.append(instruction)
    return module


def _all_nodes(instruction: _Instruction, module: _Module, seen: set[str]) -> dict[str, None]:
    nodes: dict[str, None] = {}
    for name in instruction.called:
        if name not in seen:
            seen.add(name)
            for inner in module.computations.get(name, ()):
                nodes |= _all_nodes(inner, module, seen)
    return nodes | dict.fromkeys(instruction.nodes)
