"""What the processor has that code is compiled for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lowering.host import processor as subject
from lowering.host.processor import Processor, processor
from lowering.ir.errors import EngineError
from lowering.targets import get_engine
from lowering.targets.iree.compile import flags_for
from lowering.targets.iree.processor import flags_of
from lowering.targets.target import TargetOptions

_V2 = {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the levels are those of x86-64"
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """A machine that has what is put in here."""
    features: set[str] = set()
    subject._named.cache_clear()
    monkeypatch.setattr(subject, "_host_features", lambda: frozenset(features))
    yield features
    monkeypatch.undo()
    subject._named.cache_clear()


@pytest.mark.parametrize(
    ("features", "avx512", "bfloat16"),
    [
        (_V3, False, False),
        (_V4, True, False),
        (_V4 | {"avx512_bf16"}, True, True),
        (_V4 | {"amx_bf16"}, True, True),
        ({"asimd", "bf16"}, False, True),
        (set(), False, False),
    ],
)
def test_the_host_has_what_the_kernel_says(
    machine: set[str], monkeypatch: pytest.MonkeyPatch, features: set[str], avx512: bool, bfloat16: bool
) -> None:
    monkeypatch.delenv("BRIDGE_CPU", raising=False)
    machine.update(features)
    assert (processor().has_avx512, processor().has_bfloat16) == (avx512, bfloat16)


@pytest.mark.parametrize(("level", "features"), [("x86-64-v2", _V2), ("x86-64-v3", _V3), ("x86-64-v4", _V4)])
def test_a_level_is_what_the_abi_says(
    machine: set[str], monkeypatch: pytest.MonkeyPatch, level: str, features: set[str]
) -> None:
    machine.update(_V4, {"avx512_bf16", "amx_bf16"})
    monkeypatch.setenv("BRIDGE_CPU", level)
    assert processor().features == features
    assert not processor().has_bfloat16
    assert processor().key == level


def test_a_level_that_the_machine_does_not_reach_is_an_error(
    machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.update(_V3 - {"fma"})
    monkeypatch.setenv("BRIDGE_CPU", "x86-64-v3")
    with pytest.raises(EngineError, match=r"BRIDGE_CPU=x86-64-v3: this processor has no fma$"):
        processor()
    monkeypatch.setenv("BRIDGE_CPU", "486")
    with pytest.raises(EngineError, match="BRIDGE_CPU=486: no such processor; it is one of host, x86-64-v2"):
        processor()


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_an_engine_is_held_to_a_level(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.delenv("BRIDGE_CPU", raising=False)
    host = get_engine(engine).version()
    monkeypatch.setenv("BRIDGE_CPU", "x86-64-v2")
    assert get_engine(engine).version().endswith("+x86-64-v2")
    assert not host.endswith("v2")


def test_the_compilers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_CPU", "x86-64-v2")
    assert "--iree-llvmcpu-target-cpu=x86-64-v2" in flags_for(TargetOptions())
    monkeypatch.setenv("BRIDGE_CPU", "")
    told = "x86-64-v4" if processor().has_float16 else "host"
    assert f"--iree-llvmcpu-target-cpu={told}" in flags_for(TargetOptions())


def test_iree_is_not_told_of_float16() -> None:
    """It would draw products and sums together, and leave out the product's rounding."""
    features = frozenset({"avx512_fp16", "avx512_bf16", "amx_tile"})
    assert flags_of(Processor("host", features)) == (
        "--iree-llvmcpu-target-cpu=x86-64-v4",
        "--iree-llvmcpu-target-cpu-features=+avx512bf16",
    )
    assert flags_of(Processor("host", features - {"avx512_fp16"})) == ("--iree-llvmcpu-target-cpu=host",)
    assert flags_of(Processor("x86-64-v4", features)) == ("--iree-llvmcpu-target-cpu=x86-64-v4",)


@pytest.mark.parametrize(("given", "told"), [("", "--xla_cpu_max_isa=AVX2"), ("--xla_cpu_max_isa=AVX", "")])
def test_xla_is_held_to_a_lesser_processor(given: str, told: str) -> None:
    """By its variable, which it reads when it is first used: no option of an executable does it."""
    code = (
        "import os; from lowering.targets import get_engine; from lowering.targets.target import CPU; "
        "import numpy as np; get_engine('xla').from_tensor(np.ones(2), CPU); "
        "print(os.environ.get('XLA_FLAGS', ''))"
    )
    environment = {**os.environ, "BRIDGE_CPU": "x86-64-v2", "XLA_FLAGS": given}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (told or given)
