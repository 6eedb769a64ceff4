"""A model all the way: export, lower, engines, artifact, and a process without torch and jax.

The reference is torch's own `ExportedProgram.module()`, called as often as the model has calls.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bridge
from bridge.verification.compare import Difference, compare
from bridge.verification.reference import eager
from bridge.verification.tolerances import allowed_of, rounding_of
from bridge.verification.trial import Observed, compare_observed, observe
from lowering.ir.plan import Placement
from lowering.stablehlo.registry import load_families
from tests.models.model import Call, Model

ENGINES = ("xla", "iree")

_REPOSITORY = Path(__file__).parents[2]

# Loads the artifact, makes the calls, writes what came out. It may import neither torch nor jax.
_CHILD = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax", "jaxlib"):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
import numpy as np
import bridge
from lowering.ir.tree import flatten, unflatten
artifact, calls_file, results_file = sys.argv[1:]
lowered = bridge.load(artifact)
known = set(lowered.binaries)
compiled = lowered.compile("iree")
assert set(lowered.binaries) == known, "compiled anew"
signature = lowered.program.signature
results = {}
with np.load(calls_file) as calls:
    count = 1 + max(int(key.split("_")[0]) for key in calls.files)
    for call in range(count):
        size = sum(key.startswith(f"{call}_") for key in calls.files)
        leaves = [calls[f"{call}_{leaf}"] for leaf in range(size)]
        args, kwargs = unflatten(leaves, signature.in_spec)
        outputs = flatten(compiled(*args, **kwargs), signature.out_spec)
        results |= {f"{call}_{i}": np.asarray(output) for i, output in enumerate(outputs)}
np.savez(results_file, **results)
"""


@dataclass
class Row:
    """What one model gave.

    `differences`: by engine, how each value that a caller sees compares; `artifact` is the process's.
    `seconds`: by stage, `compile xla` for one. `exported`, `lowered`: for a closer look. `constant`: outputs
    whose elements are all the same, so that a comparison says little. `split`: engines on which it is not one
    segment on StableHLO.
    """

    model: str
    exported: torch.export.ExportedProgram
    lowered: bridge.Lowered
    segments: int = 0
    aten_nodes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        return len(self.exported.graph.nodes)

    @property
    def errors(self) -> dict[str, float]:
        """By engine, the largest absolute error of any value."""
        return {engine: max(d.error for d in found) for engine, found in self.differences.items()}

    @property
    def equal(self) -> bool:
        """Whether every engine gave what eager gives."""
        return not self.problems

    @property
    def whole(self) -> bool:
        """Whether every engine but ATen ran it as one segment, nothing on ATen."""
        return not self.split

    def add(self, engine: str, found: Sequence[Difference]) -> None:
        self.differences.setdefault(engine, []).extend(found)
        self.problems.extend(f"{engine}: {d.name} {d.problem}" for d in found if not d.passed)


def take_through(
    name: str, model: Model, engines: Sequence[str] = ENGINES, folder: Path | None = None
) -> Row:
    """Take one model through; with a `folder`, through its artifact in another process too."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "export"):
        exported = model.export()
    load_families()  # imports jax, which is not what is timed
    with _timed(seconds, "lower"):
        lowered = bridge.lower(exported)
    row = Row(name, exported, lowered, seconds=seconds)
    row.reasons += [f"{node}: {reason}" for node, reason in lowered.plan.reasons.items()]
    allowed = allowed_of(lowered.program)
    before, expected = _eager(row, model)
    row.constant = [name for name, value in expected[0].values.items() if _is_constant(name, value)]
    for engine in engines:
        with _timed(seconds, f"compile {engine}"):
            compiled = lowered.compile(engine, on_new_size="wait")
        if engine != "aten":
            plan = compiled.report.plan
            segments, on_aten = len(plan.segments), compiled.report.nodes(Placement.ATEN)
            row.segments, row.aten_nodes = max(row.segments, segments), max(row.aten_nodes, on_aten)
            row.split += [engine] if segments != 1 or on_aten else []
            new = sorted(plan.reasons.keys() - lowered.plan.reasons.keys())
            row.reasons += [f"{engine}: {node}: {plan.reasons[node]}" for node in new]
        for index, (call, want) in enumerate(zip(model.calls, expected, strict=True)):
            prefix = f"call {index + 1}: " if index else ""
            row.add(engine, compare_observed(_seen(compiled, call), want, before, allowed, prefix))
        row.reasons += [f"{engine}: segment {f.segment}: {f.reason}" for f in compiled.report.fallbacks]
        del compiled
    if folder is not None:
        lowered.save(folder / "model.bridge")
        row.add("artifact", _from_artifact(row, _run_artifact(folder, model.calls), expected))
    return row


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


def _eager(row: Row, model: Model) -> tuple[dict[str, torch.Tensor], list[Observed]]:
    """The buffers before, and what torch shows of all calls in a row; the program's state is put back."""
    with eager(row.exported, row.lowered) as callee:
        before = {name: buffer.clone() for name, buffer in callee.buffers.items()}
        return before, [_seen(callee, call) for call in model.calls]


def _is_constant(name: str, value: Any) -> bool:
    plural = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
    return plural and name.startswith("output ") and bool((value == value.flatten()[0]).all())


def _seen(callee: Callable[..., Any], call: Call) -> Observed:
    """One call, with torch's generator at the same place each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return observe(callee, call)


def _from_artifact(
    row: Row, results: list[list[torch.Tensor]], expected: Sequence[Observed]
) -> list[Difference]:
    """Outputs alone: a process without torch has numpy's strides, and its buffers to itself."""
    kind = rounding_of(row.lowered.program)
    found = []
    for call, (gots, want) in enumerate(zip(results, expected, strict=True)):
        wants = [value for name, value in want.values.items() if name.startswith("output ")]
        found += [
            compare(f"call {call} output {i}", got, value, kind)
            for i, (got, value) in enumerate(zip(gots, wants, strict=True))
        ]
    return found


def _leaves(result: Any) -> list[torch.Tensor]:
    return torch.utils._pytree.tree_leaves(result)


def _run_artifact(folder: Path, calls: tuple[Call, ...]) -> list[list[torch.Tensor]]:
    """The results of the same calls in a new process, which runs the artifact through IREE."""
    leaves = {
        f"{call}_{i}": leaf.numpy()
        for call, given in enumerate(calls)
        for i, leaf in enumerate(_leaves(given))
    }
    np.savez(folder / "calls.npz", **leaves)
    command = [sys.executable, "-c", _CHILD, "model.bridge", "calls.npz", "results.npz"]
    environment = {"PYTHONPATH": str(_REPOSITORY), "PATH": "/usr/bin:/bin", "BRIDGE_CACHE_BYTES": "0"}
    # Where the key lies that signed the binaries, and the processor that they are for.
    for name in ("XDG_DATA_HOME", "BRIDGE_CPU"):
        if name in os.environ:
            environment[name] = os.environ[name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise AssertionError(f"the process that runs the artifact failed: {done.stderr}")
    with np.load(folder / "results.npz") as results:
        return [
            [torch.from_numpy(results[key]) for key in results.files if key.startswith(f"{call}_")]
            for call in range(len(calls))
        ]
