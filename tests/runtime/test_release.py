"""Who lets go of an argument: never a thread of an engine, which would need Python's lock for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from lowering.ir.types import DType
from runtime.engine import Target
from runtime.engines import get_engine
from runtime.engines.dlpack import capsule_import
from runtime.tensors import aligned_copy
from tests.runtime.engine_modules import linear

ROOT = Path(__file__).parents[2]
SIZE = 256
SHORT = f"""
import sys
import numpy as np
from runtime.engine import Target
from runtime.engines import get_engine
from tests.runtime.engine_modules import linear

engine, program, cpu = get_engine("xla"), linear(size={SIZE}), Target()
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
    target = Target(options={"driver": "local-task"} if name == "iree" else {})
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


def test_a_process_that_used_xla_exits_in_peace() -> None:
    for _ in range(6):
        done = subprocess.run([sys.executable, "-c", SHORT], cwd=ROOT, capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_capsule_is_of_bounded_rank() -> None:
    with pytest.raises(TypeError, match="64 are the most"):
        capsule_import(id, 0, DType.FLOAT32, (1,) * 65)
