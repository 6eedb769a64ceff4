"""The dispatches of a module, as IREE's own tool times them, and the nodes that they compute.

IREE's bindings for Python give no times. So its benchmark tool, a child process, calls the same code on the
same data. It writes when each dispatch began and ended.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, NamedTuple

import iree._runtime_libs
import numpy as np

from lowering.host.drafts import scratch_folder
from lowering.host.machine import cores
from lowering.host.tensors import dtype_of
from lowering.ir.errors import EngineError
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_line
from lowering.targets.iree.compile import show_dispatches
from lowering.targets.iree.interface import MAIN, SCOPE
from lowering.targets.target import Built, Kernel, Results

if TYPE_CHECKING:
    from lowering.targets.iree.executable import IreeExecutable

# The first pays for memory that is touched for the first time.
_CALLS = 5
_TIMEOUT_S = 600.0

# The dtypes that numpy's files cannot name, as IREE names them.
_RAW = {
    DType.BFLOAT16: "bf16",
    DType.FLOAT8_E4M3FN: "f8E4M3FN",
    DType.FLOAT8_E5M2: "f8E5M2",
    DType.FLOAT8_E4M3FNUZ: "f8E4M3FNUZ",
    DType.FLOAT8_E5M2FNUZ: "f8E5M2FNUZ",
}


class Dispatch(NamedTuple):
    """A dispatch that has run. Times are in nanoseconds. `command`: its place in the order of commands."""

    name: str
    start: int
    end: int
    command: int


def traced(
    executable: IreeExecutable,
    payload: bytes,
    built: Built,
    arguments: Sequence[np.ndarray],
    call: Callable[[], Results],
) -> tuple[Results, list[Kernel]]:
    """The results of `call`, and the dispatches of a like one. Raises EngineError."""
    with scratch_folder("bridge-iree") as folder:
        # Before the call, which may overwrite them.
        given = [_write(folder / f"{place}", array) for place, array in enumerate(arguments)]
        results = call()
        (folder / "module").write_bytes(payload)
        executable.save_weights(folder / "weights.irpa")
        dispatches = _run(folder, executable.driver, given, built.module.name)
    nodes = _nodes(built, executable.takes_memory) if dispatches else {}
    return results, kernels(dispatches, nodes)


def kernels(dispatches: Sequence[Dispatch], nodes: Mapping[str, Sequence[tuple[str, ...]]]) -> list[Kernel]:
    """The dispatches of the call of median time among all but the first, in order."""
    calls = _calls(dispatches)
    if not calls:
        return []
    spans = [max(d.end for d in one) - min(d.start for d in one) for one in calls]
    chosen = calls[spans.index(median_low(spans))]
    first = min(dispatch.start for dispatch in chosen)
    counted: dict[str, int] = defaultdict(int)
    found: list[Kernel] = []
    # Calls of one dispatch are in the order of its places in the module, unless a loop repeats a place.
    often = {name: sum(d.name == name for d in chosen) for name in {d.name for d in chosen}}
    for dispatch in chosen:
        places = nodes.get(dispatch.name, ())
        if len(places) == often[dispatch.name]:
            own = places[counted[dispatch.name]]
        else:
            own = tuple(dict.fromkeys(node for place in places for node in place))
        counted[dispatch.name] += 1
        start, seconds = (dispatch.start - first) / 1e9, (dispatch.end - dispatch.start) / 1e9
        found.append(Kernel(dispatch.name, own, start, seconds))
    return found


def _calls(dispatches: Sequence[Dispatch]) -> list[list[Dispatch]]:
    """The dispatches of each call but the first, in the order of commands. Each call has as many."""
    each, left = divmod(len(dispatches), _CALLS)
    if left or not each:
        return []
    ordered = sorted(dispatches, key=lambda dispatch: dispatch.start)
    calls = [ordered[at : at + each] for at in range(each, len(ordered), each)]
    return [sorted(call, key=lambda dispatch: dispatch.command) for call in calls]


def _write(path: Path, array: np.ndarray) -> str:
    """An argument in a file; the tool's option for it."""
    dtype = dtype_of(array)
    if dtype not in _RAW:
        np.save(path.with_suffix(".npy"), array)
        return f"--input=@{path.with_suffix('.npy')}"
    path.with_suffix(".bin").write_bytes(array.tobytes())
    shape = "".join(f"{size}x" for size in array.shape)
    return f"--input={shape}{_RAW[dtype]}=@{path.with_suffix('.bin')}"


def _run(folder: Path, driver: str, given: Sequence[str], name: str) -> list[Dispatch]:
    profile = folder / "profile"
    _tool(
        "iree-benchmark-module",
        f"--device={driver}",
        f"--task_topology_max_group_count={cores()}",
        f"--module={folder / 'module'}",
        f"--parameters={SCOPE}={folder / 'weights.irpa'}",
        f"--function={MAIN}",
        *given,
        f"--benchmark_min_time={_CALLS}x",
        "--device_profiling_mode=host-execution,executable-metadata",
        f"--device_profiling_output={profile}",
        name=name,
    )
    told = _tool("iree-profile", "dispatch", "--format=jsonl", "--dispatch_events", str(profile), name=name)
    rows = [json.loads(line) for line in told.splitlines()]
    return [
        Dispatch(
            row["key"],
            row["start_host_time_ns"],
            row["end_host_time_ns"],
            # On one thread a command has no number: commands are in the order of time.
            row["event_id"],
        )
        for row in rows
        if row["type"] == "host_dispatch_event" and row["valid"]
    ]


def _tool(tool: str, *arguments: str, name: str) -> str:
    """The output of one of IREE's tools. Raises EngineError."""
    folder = Path(iree._runtime_libs.__path__[0])
    try:
        done = subprocess.run(
            [str(folder / tool), *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"iree {name}: cannot profile: {first_line(error)}") from None
    if done.returncode:
        raise EngineError(f"iree {name}: {tool} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _nodes(built: Built, takes_memory: bool) -> dict[str, list[tuple[str, ...]]]:
    """By dispatch the nodes of each of its calls; nothing where the compiler, or jax, is not installed."""
    try:
        from iree.compiler.ir import MLIRError  # pyright: ignore[reportAttributeAccessIssue]

        from lowering.stablehlo.passes.parsed import rewritten
        from lowering.targets.iree.dispatches import nodes_of_dispatches
    except ImportError:
        return {}
    module = rewritten(built.module, built.engine.pipeline(built.target))
    shown = show_dispatches(module, built.target, takes_memory)
    try:
        return nodes_of_dispatches(*shown, MAIN)
    except (MLIRError, ValueError) as error:
        raise EngineError(
            f"iree {module.name}: cannot read the compiler's module: {first_line(error)}"
        ) from None
