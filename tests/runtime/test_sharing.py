"""Memory is shared, not copied, between callers, weights and engines; and calls share one executable."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import bridge
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.lowering.targets.engine_modules import add_one

ROOT = Path(__file__).parents[2]
MEGABYTES = 64
RESIDENT = f"""
import sys
import numpy as np
from lowering.targets.target import TargetOptions
from lowering.targets import get_engine
from tests.lowering.targets.engine_modules import add_one, module, tensor
from lowering.ir.types import DType
from lowering.ir.module import Port

def resident():
    # Private memory alone: mapped files are the page cache's.
    fields = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024

rows = {MEGABYTES} * 1024 * 1024 // 4 // 64
x, w = Port("x", DType.FLOAT32, (64,)), Port("w", DType.FLOAT32, (rows, 64), "w")
y = Port("y", DType.FLOAT32, (64,))
signature = f"({{tensor(w)}}, tensor<f32>) -> {{tensor(x)}}"
body = f\"\"\"%zero = stablehlo.constant dense<0.0> : tensor<f32>
%s = stablehlo.reduce(%w init: %zero) applies stablehlo.add across dimensions = [0] : {{signature}}
%y = stablehlo.add %x, %s : {{tensor(x)}}\"\"\"
engine, cpu = get_engine(sys.argv[1]), TargetOptions()
program = module(body, (x, w), (y,))
binary = engine.compile(program, cpu)
small = add_one()
engine.load(engine.compile(small, cpu), small, cpu, {{}})([engine.from_tensor(np.zeros(4, np.float32), cpu)])
weight = np.memmap(sys.argv[2], np.float32, "r", shape=(rows, 64))
before = resident()
run = engine.load(binary, program, cpu, {{"w": weight}})
(result,) = run([engine.from_tensor(np.zeros(64, np.float32), cpu)])
assert (engine.to_numpy(result) == rows).all()
print(resident() - before)
"""


@pytest.mark.parametrize("name", ["iree", "xla"])
def test_tensors_pass_without_a_copy(name: str) -> None:
    engine, program = get_engine(name), add_one(sizes=(64,))
    x = torch.zeros(64)
    handle = engine.from_tensor(x, TargetOptions())
    assert engine.to_torch(handle).data_ptr() == x.data_ptr()
    run = engine.load(engine.compile(program, TargetOptions()), program, TargetOptions(), {})
    (result,) = run([handle])
    one, two = engine.to_torch(result), engine.to_numpy(result)
    assert one.data_ptr() == two.ctypes.data
    x += 1  # the same memory with other contents, through the view that is kept of it
    (result,) = run([engine.from_tensor(x, TargetOptions())])
    assert torch.equal(engine.to_torch(result), torch.full((64,), 2.0))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["iree", "xla"])
def test_a_weight_is_mapped_not_copied(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weight"
    np.ones(MEGABYTES * 1024 * 1024 // 4, np.float32).tofile(path)
    command = [sys.executable, "-c", RESIDENT, name, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < MEGABYTES / 4


class Counter(torch.nn.Module):
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(1)
        return x + self.count


@pytest.mark.parametrize("name", ["iree", "xla"])
def test_threads_share_a_stateless_program(name: str) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU()).eval()
    compiled = bridge.lower(module, (torch.zeros(4, 16),)).compile(name)

    def work(seed: int) -> float:
        inputs = torch.randn(200, 4, 16, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return max((compiled(x) - module(x)).abs().max().item() for x in inputs)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) < 1e-5


@pytest.mark.parametrize("name", ["iree", "xla"])
def test_calls_of_a_program_with_state_take_turns(name: str) -> None:
    compiled = bridge.lower(Counter(), (torch.zeros(16),)).compile(name)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: compiled(torch.zeros(16))[0].item(), range(800)))
    assert sorted(results) == list(range(1, 801))
