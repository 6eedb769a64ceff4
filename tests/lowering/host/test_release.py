"""Who lets go of an argument: never a thread of an engine, which would need Python's lock for it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from lowering.host.dlpack import capsule_import
from lowering.host.tensors import aligned_copy
from lowering.ir.types import DType
from lowering.targets import get_engine
from lowering.targets.iree import weights as iree_weights
from lowering.targets.iree.executable import IreeExecutable
from lowering.targets.iree.weights import lend
from lowering.targets.target import CPU, TargetOptions
from lowering.targets.xla.executable import XlaExecutable
from tests.lowering.targets.engine_modules import linear

ROOT = Path(__file__).parents[3]
SIZE = 256
SHORT = f"""
import sys
import numpy as np
from lowering.targets.target import CPU, TargetOptions
from lowering.targets import get_engine
from lowering.targets.iree import weights as iree_weights
from tests.lowering.targets.engine_modules import linear

engine, program, cpu = get_engine("xla"), linear(size={SIZE}), CPU
weight = np.eye({SIZE}, dtype=np.float32)
run = engine.load(engine.compile(program, cpu), program, cpu, {{"layer.weight": weight}})
# A thread that wants Python's lock does not get it any more before the interpreter is gone.
sys.setswitchinterval(10)
for _ in range(3):
    (result,) = run([engine.from_tensor(weight * 3, cpu)])
"""


class Observed(np.ndarray):
    """An array that a weak reference may point at."""


@pytest.mark.parametrize("name", ["iree", "xla"])
def test_arguments_are_released_by_the_caller(name: str) -> None:
    engine, program = get_engine(name), linear(size=SIZE)
    target = TargetOptions(options={"driver": "local-task"} if name == "iree" else {})
    weight = np.eye(SIZE, dtype=np.float32)
    run = engine.load(engine.compile(program, target), program, target, {"layer.weight": weight})
    threads: list[int] = []
    for _ in range(100):
        given = aligned_copy(weight).view(Observed)
        weakref.finalize(given, lambda: threads.append(threading.get_ident()))
        handle = engine.from_tensor(given, target)
        del given
        run([handle])
        del handle
    assert threads == [threading.get_ident()] * 100


@pytest.mark.parametrize("name", ["iree", "xla"])
def test_weights_are_released_by_the_caller(name: str) -> None:
    engine, program = get_engine(name), linear(size=SIZE)
    weight = aligned_copy(np.eye(SIZE, dtype=np.float32)).view(Observed)
    gone = weakref.ref(weight)
    run = engine.load(engine.compile(program, CPU), program, CPU, {"layer.weight": weight})
    run([engine.from_tensor(np.ones((SIZE, SIZE), np.float32), CPU)])
    # What is the engine's own, and may be dropped by a thread of its own after all else is gone.
    assert isinstance(run, IreeExecutable | XlaExecutable)
    kept = [run._context, run._index] if isinstance(run, IreeExecutable) else run._arguments
    del run, weight
    gc.collect()
    assert kept
    assert gone() is None


def test_what_iree_has_let_go_of_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, object] = {}
    monkeypatch.setattr(iree_weights, "_lent", kept)
    array = np.arange(64, dtype=np.float32)
    held = memoryview(lend(array))
    lend(array)
    assert bytes(held) == array.tobytes()
    assert len(kept) == 2
    lend(array)
    assert len(kept) == 2
    del held
    lend(array)
    assert len(kept) == 1


def test_what_is_lent_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread finds that something is let go of; before it drops that, another lends at the same address."""
    kept: dict[int, object] = {}
    monkeypatch.setattr(iree_weights, "_lent", kept)
    references, array, held = iree_weights._references, np.arange(64, dtype=np.float32), []
    other = threading.Thread(target=lambda: held.append(memoryview(lend(array))))

    def slowly(at: int) -> int:
        found = references(at)
        if not other.ident:
            other.start()
            other.join(0.2)  # it gets this far only where it does not have to wait
        return found

    lend(array)
    monkeypatch.setattr(iree_weights, "_references", slowly)
    lend(array)
    other.join()
    (view,) = held
    assert id(view.obj) in kept


def test_a_process_that_used_xla_exits_in_peace() -> None:
    for _ in range(6):
        done = subprocess.run([sys.executable, "-c", SHORT], cwd=ROOT, capture_output=True, timeout=600)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_capsule_is_of_bounded_rank() -> None:
    with pytest.raises(TypeError, match="64 are the most"):
        capsule_import(id, 0, DType.FLOAT32, (1,) * 65)
