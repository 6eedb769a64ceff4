"""`Compiled` on the real engines: state over several calls, written inputs, no torch where none is needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import bridge
from lowering.host.weights import torch_weights
from lowering.ir.tree import flatten, unflatten
from lowering.targets.aten.reference import interpret
from runtime.inputs import Binder

DATA = Path(__file__).parents[1] / "data" / "pt2" / "torch-2.13.0"
ENGINES = ("iree", "xla", "aten")


def fresh(path, count):
    """Inputs for `count` calls, the same each time: those of the file's expectation, then with noise."""
    arrays = np.load(path.with_suffix(".expected.npz"))
    first = [arrays[key] for key in sorted(key for key in arrays.files if key.startswith("in"))]
    rng = np.random.default_rng(7)
    for call in range(count):
        noisy = [
            a + rng.standard_normal(a.shape).astype(a.dtype) if a.dtype.kind == "f" else a for a in first
        ]
        yield [torch.from_numpy(a.copy()) for a in (noisy if call else first)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["cached_attention", "input_mutation", "view_mutation"])
def test_several_calls_leave_what_eager_leaves(name, engine):
    lowered = bridge.lower(DATA / f"{name}.pt2")
    compiled = lowered.compile(engine=engine)
    signature = lowered.program.signature
    names = [spec.fqn for spec in signature.inputs if spec.fqn]
    held = torch_weights(lowered.weights, names, private=names)
    binder = Binder(lowered.program)
    for mine, eager in zip(fresh(DATA / f"{name}.pt2", 3), fresh(DATA / f"{name}.pt2", 3), strict=True):
        wanted = interpret(lowered.program, held, eager, binder.bind_leaves(eager).symbols)
        args, kwargs = unflatten(mine, signature.in_spec)
        got = flatten(compiled(*args, **kwargs), signature.out_spec)
        for a, b in zip((*got, *mine), (*wanted, *eager), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        for key, array in compiled.buffers.items():
            np.testing.assert_allclose(array, held[key].numpy(), rtol=1e-4, atol=1e-5)
    if name == "cached_attention":
        assert compiled.buffers


NO_TORCH = """
import sys
import numpy as np, bridge
path = sys.argv[1]
compiled = bridge.lower(path + ".pt2").compile(engine=sys.argv[2])
expected = np.load(path + ".expected.npz")
for _ in range(2):
    out = compiled(expected["in0"])
    assert type(out) is np.ndarray
    np.testing.assert_allclose(out, expected["out0"], rtol=1e-4, atol=1e-5)
try:
    compiled(expected["in0"][:1])
except ValueError as error:
    print(error)
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_numpy_runs_in_a_process_without_torch(engine):
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(DATA / "mlp"), engine],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the program takes" in done.stdout
