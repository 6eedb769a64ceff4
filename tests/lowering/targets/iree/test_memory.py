"""Memory for a call of an IREE module: given by the caller, kept, shared, and never a result's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np
import pytest
from iree import runtime as rt

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets.iree import compile as iree_compile
from lowering.targets.iree import memory as iree_memory
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.executable import IreeExecutable
from lowering.targets.iree.interface import MAIN, MAIN_IN
from lowering.targets.iree.memory import CallMemory
from lowering.targets.target import TargetOptions
from tests.lowering.stablehlo.passes.through import dynamic_module
from tests.lowering.targets.engine_modules import add_one, module, tensor

CPU = TargetOptions(options={"driver": "local-task"})


@pytest.fixture(autouse=True)
def own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of a test's own: modules that other tests left alive keep theirs."""
    monkeypatch.setattr(iree_memory, "_all", WeakValueDictionary())


def products(size: int) -> Module:
    """y = exp(x @ w) @ w: something is made and dropped."""
    sizes = (size, size)
    x, w = Port("x", DType.FLOAT32, sizes), Port("w", DType.FLOAT32, sizes, "w")
    y = Port("y", DType.FLOAT32, sizes)
    t = tensor(x)
    product = f"contracting_dims = [1] x [0] : ({t}, {t}) -> {t}"
    return module(
        f"%a = stablehlo.dot_general %x, %w, {product}\n%b = stablehlo.exponential %a : {t}\n"
        f"%y = stablehlo.dot_general %b, %w, {product}",
        (x, w),
        (y,),
    )


def loaded(size: int) -> IreeExecutable:
    engine, program = Iree(), products(size)
    weights = {"w": np.eye(size, dtype=np.float32)}
    return engine.load(engine.compile(program, CPU), program, CPU, weights)


def call(run: IreeExecutable, x: np.ndarray) -> np.ndarray:
    (result,) = run([Iree().from_tensor(x, CPU)])
    return Iree().to_numpy(result)


def needed(run: IreeExecutable) -> int:
    """The bytes that a call needs, which has been called."""
    assert run._need is not None
    assert run._need.nbytes is not None
    return run._need.nbytes


def functions(binary: bytes, program: Module) -> list[str]:
    """The public functions of a binary."""
    payload = binary[binary.index(b"}") + 1 :]
    loaded = rt.VmModule.copy_buffer(rt.VmInstance(), payload)
    return [name for name in (MAIN, MAIN_IN) if loaded.lookup_function(name) is not None]


def test_it_is_kept_and_no_result_lies_in_it() -> None:
    run = loaded(256)
    assert run._memory is not None
    x = np.random.default_rng(0).random((256, 256), np.float32)
    first = call(run, x)
    assert needed(run) > 0
    (kept,) = run._memory._free
    second = call(run, x * 2)
    assert run._memory._free == [kept]
    np.testing.assert_allclose(first, np.exp(x), rtol=1e-5)
    np.testing.assert_allclose(second, np.exp(x * 2), rtol=1e-5)


def test_modules_share_it_and_it_grows() -> None:
    small, large = loaded(128), loaded(256)
    memory = small._memory
    assert memory is not None
    assert memory is large._memory
    memory._free.clear()
    for run, size in ((small, 128), (large, 256), (small, 128)):
        np.testing.assert_allclose(
            call(run, np.ones((size, size), np.float32)), np.full((size, size), np.e), 1e-5
        )
        assert [buffer.byte_length() >= needed(run) for buffer in memory._free] == [True]
    assert memory._free[0].byte_length() >= needed(large)


def test_a_binary_for_all_sizes_measures_its_need_at_each_size() -> None:
    text = """
func.func public @main(%x: tensor<?x64xf32>, %w: tensor<64x64xf32>) -> tensor<?x64xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
    : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %1 = stablehlo.exponential %0 : tensor<?x64xf32>
  %2 = stablehlo.dot_general %1, %w, contracting_dims = [1] x [0]
    : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}
"""
    program = dynamic_module(text, [("n", 64), (64, 64)], [("n", 64)])
    x, w = program.inputs
    program = replace(program, inputs=(x, w._replace(weight="w")))
    binary = Iree().compile_dynamic(program, CPU)
    run = Iree().load_dynamic(binary, program, CPU, {"w": np.eye(64, dtype=np.float32)})
    needs: list[int] = []
    for rows in (64, 2, 33):
        at_rows = run.at({"n": rows})
        for factor in (1, 2):
            x = np.full((rows, 64), factor, np.float32)
            (result,) = at_rows([Iree().from_tensor(x, CPU)])
            np.testing.assert_allclose(Iree().to_numpy(result), np.exp(x), rtol=1e-5)
        needs.append(needed(at_rows._loaded))
        memory = at_rows._loaded._memory
        assert memory is not None
        assert [buffer.byte_length() for buffer in memory._free] == [max(needs)]
    assert needs[0] > needs[2] > needs[1] > 0


def test_calls_at_a_time_have_their_own() -> None:
    runs = [loaded(128), loaded(256)]

    def repeat(run: IreeExecutable, size: int) -> None:
        for factor in range(20):
            x = np.full((size, size), factor / 10, np.float32)
            np.testing.assert_allclose(call(run, x), np.exp(x), rtol=1e-5)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(repeat, runs[i % 2], (128, 256)[i % 2]) for i in range(6)]:
            done.result()
    assert runs[0]._memory is not None
    assert len(runs[0]._memory._free) <= 2


def test_it_goes_with_the_last_module() -> None:
    run = loaded(128)
    memory = run._memory
    assert memory is not None
    assert CallMemory.of(run._device) is memory
    free = memory._free
    call(run, np.ones((128, 128), np.float32))
    assert free
    device = run._device
    del run, memory
    assert not CallMemory.of(device)._free


def test_a_call_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = loaded(128)
    assert run._memory is not None
    run._memory._free.clear()

    def short(*_: object, **__: object) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(CallMemory, "_new", short)
    with pytest.raises(EngineError, match="RESOURCE_EXHAUSTED"):
        call(run, np.ones((128, 128), np.float32))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: products(256), [MAIN, MAIN_IN]),
        (lambda: products(4), [MAIN]),
        (lambda: add_one(sizes=(300, 300)), [MAIN]),
    ],
    ids=["large", "small", "without weights"],
)
def test_who_takes_it(make: Callable[[], Module], found: list[str]) -> None:
    program = make()
    binary = Iree().compile(program, CPU)
    assert functions(binary, program) == found
    # Where there is such an entry, the binary says how much a call takes: two products at least.
    told = Iree().temporary(binary, CPU)
    assert (told is None) == (MAIN_IN not in found)
    assert told is None or told >= 256 * 256 * 4


def test_what_the_compiler_cannot_place_is_compiled_without(monkeypatch: pytest.MonkeyPatch) -> None:
    real = iree_compile._iree_compile

    def refusing(source: bytes, flags: tuple[str, ...], name: str, timeout: float) -> bytes:
        if MAIN_IN.encode() in source:
            raise iree_compile._Refused("not that")
        return real(source, flags, name, timeout)

    monkeypatch.setattr(iree_compile, "_iree_compile", refusing)
    program = products(256)
    assert functions(Iree().compile(program, CPU), program) == [MAIN]
