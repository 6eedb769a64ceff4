"""A model all the way: export, lower, both engines, artifact, and a process without torch and jax.

The reference is torch's own `ExportedProgram.module()`, called as often as the model has calls.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bridge
from bridge.verification.compare import compare
from bridge.verification.tolerances import rounding_of
from lowering.ir.plan import Placement
from lowering.stablehlo.registry import load_families
from tests.models.zoo import ZOO, Call, Model

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


@dataclass(frozen=True)
class Row:
    """What one model gave. `errors`: the largest absolute error by engine; `artifact` is the process's."""

    model: str
    nodes: int
    segments: int
    aten_nodes: int
    seconds_to_lower: float
    errors: dict[str, float]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems and self.segments == 1 and self.aten_nodes == 0


def take_through(name: str, small: bool, folder: Path) -> Row:
    """Take one model of the zoo through everything; files go to `folder`."""
    model = ZOO[name](small)
    exported = model.export()
    expected = _eager(exported, model)
    load_families()  # imports jax, which is not what is timed
    started = time.perf_counter()
    lowered = bridge.lower(exported)
    seconds = time.perf_counter() - started
    kind = rounding_of(lowered.program)
    errors: dict[str, float] = {}
    problems: list[str] = [f"{node}: {reason}" for node, reason in lowered.plan.reasons.items()]

    def check(engine: str, results: list[list[Any]]) -> None:
        rows = [
            compare(f"{engine}: call {call} output {i}", got, want, kind)
            for call, (gots, wants) in enumerate(zip(results, expected, strict=True))
            for i, (got, want) in enumerate(zip(gots, wants, strict=True))
        ]
        errors[engine] = max(row.error for row in rows)
        problems.extend(f"{row.name} {row.problem}" for row in rows if not row.passed)

    segments = aten_nodes = 0
    for engine in ENGINES:
        compiled = lowered.compile(engine)
        segments = max(segments, len(compiled.report.plan.segments))
        aten_nodes = max(aten_nodes, compiled.report.nodes(Placement.ATEN))
        problems += [f"{engine}: {node}: {r}" for node, r in compiled.report.plan.reasons.items()]
        check(engine, [_leaves(compiled(*args, **kwargs)) for args, kwargs in model.calls])
        del compiled
    lowered.save(folder / "model.bridge")
    del lowered
    check("artifact", _run_artifact(folder, model.calls))
    return Row(name, len(exported.graph.nodes), segments, aten_nodes, seconds, errors, tuple(problems))


def _eager(exported: torch.export.ExportedProgram, model: Model) -> list[list[torch.Tensor]]:
    """torch's results for all calls in a row; the program's state is put back afterwards."""
    saved = {key: value.clone() for key, value in exported.state_dict.items()}
    constants = {k: v.clone() for k, v in exported.constants.items() if isinstance(v, torch.Tensor)}
    module = exported.module()
    with torch.no_grad():
        results = [[leaf.clone() for leaf in _leaves(module(*a, **k))] for a, k in model.calls]
        for store, before in ((exported.state_dict, saved), (exported.constants, constants)):
            for key, value in before.items():
                store[key].copy_(value)
    return results


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
    if "XDG_DATA_HOME" in os.environ:  # where the key lies that signed the binaries
        environment["XDG_DATA_HOME"] = os.environ["XDG_DATA_HOME"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise AssertionError(f"the process that runs the artifact failed: {done.stderr}")
    with np.load(folder / "results.npz") as results:
        return [
            [torch.from_numpy(results[key]) for key in results.files if key.startswith(f"{call}_")]
            for call in range(len(calls))
        ]
