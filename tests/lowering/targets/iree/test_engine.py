from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets.iree import compile as iree_compile
from lowering.targets.iree.engine import Iree
from lowering.targets.target import TargetOptions
from tests.lowering.targets.engine_modules import add_one, linear, module, tensor

CPU = TargetOptions()
ROOT = Path(__file__).parents[4]


def failing(operation: str, dtype: DType, weight: str | None) -> Module:
    """One node that IREE cannot compile after one that it can, at the locations our emission gives."""
    x, w = Port("x", dtype, (4, 4)), Port("w", dtype, (4, 4), weight)
    t = tensor(x)
    return module(
        f"""%s = stablehlo.add %x, %w : {t} loc("add_7"("model.py":11:0))
        %y = stablehlo.{operation} %s : {t} loc("culprit \\"9\\""("model.py":12:0))""",
        (x, w),
        (Port("y", dtype, (4, 4)),),
    )


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize(
    ("operation", "dtype", "message"),
    [("cholesky", DType.FLOAT32, "stablehlo.cholesky"), ("tanh", DType.FLOAT64, "undefined symbol: tanh")],
)
def test_a_failure_names_the_node(operation: str, dtype: DType, message: str, weight: str | None) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        Iree().compile(failing(operation, dtype, weight), CPU)
    assert caught.value.node == 'culprit "9"'
    assert "\n" not in str(caught.value)
    assert "%" not in str(caught.value)


def fake_compiler(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(iree_compile, "_tool", lambda: str(path))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux bounds another process")
def test_a_compiler_has_half_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than whatever bounds this process itself.
    monkeypatch.setattr(iree_compile, "memory", lambda: 6 << 30)
    fake_compiler(tmp_path / "compiler", _AWAIT_BOUND.format(kilobytes=3 << 20), monkeypatch)
    with pytest.raises(EngineError, match="failed with status 4"):
        Iree().compile(add_one(), CPU)


# The bound comes while the compiler starts. Ends with 4 when it is there.
_AWAIT_BOUND = "for i in $(seq 2000); do test $(ulimit -v) = {kilobytes} && exit 4; sleep 0.01; done"

_UNDER_A_BOUND = """
import resource, sys
from lowering.ir.errors import EngineError
from lowering.targets.iree import compile as iree_compile

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
iree_compile.memory = lambda: 64 << 30
iree_compile._tool = lambda: sys.argv[1]
try:
    iree_compile._iree_compile(b"", (), "m", 600.0)
except EngineError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux bounds another process")
def test_a_bound_of_this_process_is_the_compilers_too(tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\n" + _AWAIT_BOUND.format(kilobytes=3 << 20))
    compiler.chmod(0o755)
    command = [sys.executable, "-c", _UNDER_A_BOUND, str(compiler)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr) == ("iree m: the compiler failed with status 4\n", "")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -SEGV $$", r"the compiler crashed \(SIGSEGV\)"),
        ("exit 3", "failed with status 3"),
        ("exit 0", "failed with status 0"),
        ("sleep 60", r"did not finish in 0\.2 s"),
    ],
)
def test_a_broken_compiler_is_an_error(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_compiler(tmp_path / "compiler", script, monkeypatch)
    with pytest.raises(EngineError, match=message):
        Iree().compile(add_one(), TargetOptions(options={"timeout": "0.2"}))


def test_wrong_flags_are_an_error() -> None:
    with pytest.raises(EngineError, match="iree add_one"):
        Iree().compile(add_one(), TargetOptions(options={"flags": "--no-such-flag"}))


@pytest.mark.parametrize("driver", ["local-sync", "local-task"])
def test_drivers(driver: str) -> None:
    engine, program = Iree(), linear(size=64)
    target = TargetOptions(options={"driver": driver})
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) / 999
    executable = engine.load(engine.compile(program, target), program, target, {"layer.weight": weight})
    (result,) = executable([engine.from_tensor(np.eye(64, dtype=np.float32), target)])
    np.testing.assert_allclose(engine.to_numpy(result), weight, rtol=1e-6)


def test_an_unknown_driver_is_an_error() -> None:
    engine, program = Iree(), add_one()
    binary = engine.compile(program, CPU)
    with pytest.raises(EngineError, match="no usable bogus device"):
        engine.load(binary, program, TargetOptions(options={"driver": "bogus"}), {})


def test_a_failure_of_the_weights_initialiser_is_an_error() -> None:
    """IREE compiles kernels of more buffers than its runtime takes; it shows when the weights are packed."""
    t, count = "tensor<16xf32>", 60
    x = Port("x", DType.FLOAT32, (16,))
    ports = tuple(Port(f"w{i}", DType.FLOAT32, (16,), f"w{i}") for i in range(count))
    lines = [f"%s0 = stablehlo.add %w0, %w1 : {t}"]
    lines += [f"%s{i} = stablehlo.add %s{i - 1}, %w{i} : {t}" for i in range(1, count)]
    lines.append(f"%y = stablehlo.add %x, %s{count - 1} : {t}")
    program = module("\n".join(lines), (x, *ports), (Port("y", DType.FLOAT32, (16,)),))
    weights = {port.name: np.ones(16, np.float32) for port in ports}
    engine = Iree()
    with pytest.raises(EngineError, match="tensors at once, and IREE takes 32 at most"):
        engine.load(engine.compile(program, CPU), program, CPU, weights)


def test_compiling_and_running_needs_neither_torch_nor_jax(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(linear().code)
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import ml_dtypes, numpy as np
from pathlib import Path
from lowering.ir.types import DType
from lowering.targets.target import TargetOptions
from lowering.ir.module import Module, Port
from lowering.targets import get_engine
f, s = DType.FLOAT32, (8, 8)
module = Module(Path({str(tmp_path / "code")!r}).read_bytes(),
                (Port("x", f, s), Port("w", f, s, "layer.weight")), (Port("y", f, s),))
iree, cpu = get_engine("iree"), TargetOptions()
weight = np.arange(64, dtype=np.float32).reshape(s)
run = iree.load(iree.compile(module, cpu), module, cpu, {{"layer.weight": weight}})
(result,) = run([iree.from_tensor(np.eye(8, dtype=np.float32), cpu)])
assert (iree.to_numpy(result) == weight).all()
for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, np.bool_, np.complex64):
    for sizes in ((), (0, 3), (2, 3)):
        array = np.ones(sizes, dtype)
        back = iree.to_numpy(iree.from_tensor(array, cpu))
        assert back.dtype == array.dtype and back.shape == sizes and back.tobytes() == array.tobytes()
loaded = {{name.split(".")[0] for name in sys.modules}} & {{"torch", "jax", "jaxlib"}}
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_weights_take_no_memory_of_their_own(tmp_path: Path) -> None:
    """Binding 256 MB of weights grows the process by less than a tenth of that."""
    size = 1 << 26
    x, w = Port("x", DType.FLOAT32, (1,)), Port("w", DType.FLOAT32, (size,), "w")
    program = module(
        f"""%h = stablehlo.slice %w [5:6] : (tensor<{size}xf32>) -> tensor<1xf32>
        %y = stablehlo.add %x, %h : tensor<1xf32>""",
        (x, w),
        (Port("y", DType.FLOAT32, (1,)),),
    )
    engine = Iree()
    binary = engine.compile(program, CPU)
    path = tmp_path / "weights"
    with open(path, "wb") as file:
        file.truncate(4 * size)
    weight = np.memmap(path, np.float32, "r")
    before = _resident()
    executable = engine.load(binary, program, CPU, {"w": weight})
    (result,) = executable([engine.from_tensor(np.ones(1, np.float32), CPU)])
    assert engine.to_numpy(result)[0] == 1
    assert _resident() - before < 4 * size // 10


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
