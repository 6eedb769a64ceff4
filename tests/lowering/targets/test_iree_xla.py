"""What both engines promise."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
import torch

from bridge.binaries import Site, after_passes
from lowering.host.tensors import address, empty, numpy_dtype, torch_to_numpy
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets import get_engine
from lowering.targets.target import Engine, TargetOptions
from tests.lowering.targets.engine_modules import ELEMENTS, add_one, linear, module, swap, tensor

CPU = TargetOptions()


@pytest.fixture(scope="module", params=["iree", "xla"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return get_engine(request.param)


def loaded(engine: Engine, program: Module, weights: dict[str, np.ndarray] | None = None) -> Any:
    return engine.load(engine.compile(program, CPU), program, CPU, weights or {})


def call(engine: Engine, executable: Any, *tensors: Any) -> list[np.ndarray]:
    return [engine.to_numpy(r) for r in executable([engine.from_tensor(t, CPU) for t in tensors])]


def where(engine: Engine, handle: Any) -> int:
    return handle.start if engine.name == "iree" else handle.array.unsafe_buffer_pointer()


def pattern(dtype: DType, sizes: tuple[int, ...], start: int) -> np.ndarray:
    """Aligned, with bytes that are valid and unlike for every element type."""
    array = empty(numpy_dtype(dtype), sizes)
    count = array.size * dtype.itemsize
    values = (np.arange(count) + start) % (2 if dtype is DType.BOOL else 100)
    array.reshape(-1).view(np.uint8)[:] = values
    return array


@pytest.mark.parametrize("sizes", [(), (0, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", ELEMENTS, ids=str)
def test_every_dtype_goes_in_and_out_bit_for_bit(
    engine: Engine, dtype: DType, sizes: tuple[int, ...]
) -> None:
    program = swap(dtype, sizes)
    executable = loaded(engine, program)
    p, q = pattern(dtype, sizes, 1), pattern(dtype, sizes, 34)
    flag = np.ones(sizes, np.bool_)
    handles = [engine.from_tensor(array, CPU) for array in (p, q, flag)]
    if p.size:
        assert where(engine, handles[0]) == address(p)
    for result, expected in zip(executable(handles), (q, p), strict=True):
        array, tensor_ = engine.to_numpy(result), engine.to_torch(result)
        assert (array.dtype, array.shape) == (expected.dtype, sizes)
        assert array.tobytes() == expected.tobytes()
        assert torch_to_numpy(tensor_).dtype == expected.dtype
        assert torch_to_numpy(tensor_).tobytes() == expected.tobytes()
        if p.size:
            assert where(engine, result) == address(array) == tensor_.data_ptr()
        again = engine.from_tensor(tensor_, CPU)
        assert engine.to_numpy(again).tobytes() == expected.tobytes()
        if p.size:
            assert where(engine, again) == tensor_.data_ptr()


def test_tensors_that_cannot_be_imported_are_copied(engine: Engine) -> None:
    executable = loaded(engine, add_one(sizes=(2, 3)))
    base = torch.arange(12, dtype=torch.float32)
    square = base[:6].reshape(2, 3)
    given = {
        "transposed": square.t().contiguous().t(),
        "misaligned": base[1:7].reshape(2, 3),
        "expanded": base[:3].expand(2, 3),
        "sliced": base.reshape(2, 6)[:, ::2],
        "needs grad": square.clone().requires_grad_(),
        "negated": torch.complex(torch.zeros(2, 3), square).conj().imag,
    }
    for name, value in given.items():
        for each in (value, torch_to_numpy(value)):
            (result,) = call(engine, executable, each)
            np.testing.assert_array_equal(result, value.detach().resolve_neg().numpy() + 1, err_msg=name)


def test_channels_last_is_read_row_major(engine: Engine) -> None:
    executable = loaded(engine, add_one(sizes=(1, 3, 2, 2)))
    value = torch.arange(12, dtype=torch.float32).reshape(1, 3, 2, 2).to(memory_format=torch.channels_last)
    (result,) = call(engine, executable, value)
    np.testing.assert_array_equal(result, value.numpy() + 1)


def test_sizes_of_one_with_odd_strides_are_imported(engine: Engine) -> None:
    executable = loaded(engine, add_one(sizes=(1, 4)))
    value = torch.arange(4, dtype=torch.float32).as_strided((1, 4), (1, 1))
    (result,) = call(engine, executable, value)
    np.testing.assert_array_equal(result, [[1, 2, 3, 4]])


def test_read_only_input_is_not_copied(engine: Engine) -> None:
    array = pattern(DType.FLOAT32, (4,), 0)
    array.flags.writeable = False
    assert where(engine, engine.from_tensor(array, CPU)) == address(array)


def test_a_handle_keeps_its_memory(engine: Engine) -> None:
    executable = loaded(engine, add_one(DType.INT64, (4096,)))
    array = empty(np.dtype(np.int64), (4096,))
    array[:] = 5
    read_only = array.copy()
    read_only.flags.writeable = False
    handles = [engine.from_tensor(a, CPU) for a in (array, read_only, torch.full((4096,), 5))]
    del array, read_only
    gc.collect()
    for _ in range(50):
        np.full(4096, -1)
    for handle in handles:
        np.testing.assert_array_equal(engine.to_numpy(executable([handle])[0]), 6)


def test_a_result_keeps_its_memory(engine: Engine) -> None:
    executable = loaded(engine, add_one(sizes=(4096,)))
    arrays = [call(engine, executable, np.full(4096, i, np.float32))[0] for i in range(5)]
    tensors = [
        engine.to_torch(executable([engine.from_tensor(np.full(4096, i, np.float32), CPU)])[0])
        for i in range(5)
    ]
    del executable
    gc.collect()
    for i, (array, tensor_) in enumerate(zip(arrays, tensors, strict=True)):
        assert array.flags.writeable
        assert (array == i + 1).all()
        assert (tensor_ == i + 1).all()


def test_results_share_memory_with_nothing(engine: Engine) -> None:
    x, w = Port("x", DType.FLOAT32, (4, 8)), Port("w", DType.FLOAT32, (4, 8), "w")
    names = ("x", "x", "w", "w", "flat", "top", "sum", "same", "part")
    sizes = ((4, 8),) * 4 + ((32,), (2, 8), (4, 8), (4, 8), (2, 8))
    t = tensor(x)
    program = module(
        f"""%flat = stablehlo.reshape %x : ({t}) -> tensor<32xf32>
        %top = stablehlo.slice %w [0:2, 0:8] : ({t}) -> tensor<2x8xf32>
        %sum = stablehlo.add %x, %w : {t}
        %same = stablehlo.add %x, %w : {t}
        %part = stablehlo.slice %sum [2:4, 0:8] : ({t}) -> tensor<2x8xf32>""",
        (x, w),
        tuple(Port(name, DType.FLOAT32, s) for name, s in zip(names, sizes, strict=True)),
    )
    given, weight = pattern(DType.FLOAT32, (4, 8), 3), pattern(DType.FLOAT32, (4, 8), 50)
    executable = loaded(engine, program, {"w": weight})
    expected = [given, given, weight, weight, given.reshape(-1), weight[:2]]
    expected += [given + weight, given + weight, (given + weight)[2:]]
    expected = [array.copy() for array in expected]
    results = call(engine, executable, given)
    every = [given, weight, *results]
    for index, one in enumerate(every):
        assert not any(np.shares_memory(one, other) for other in every[:index])
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_a_branch_that_returns_its_argument_shares_nothing(engine: Engine) -> None:
    t = "tensor<64xf32>"
    x, y = Port("x", DType.FLOAT32, (64,)), Port("y", DType.FLOAT32, (64,))
    flag = Port("flag", DType.BOOL, ())
    program = module(
        f"""%y = "stablehlo.if"(%flag) ({{ stablehlo.return %x : {t} }},
        {{ %n = stablehlo.negate %x : {t}
          stablehlo.return %n : {t} }}) : (tensor<i1>) -> {t}""",
        (x, flag),
        (y,),
    )
    executable = loaded(engine, program)
    given = pattern(DType.FLOAT32, (64,), 0)
    for taken, sign in ((True, 1), (False, -1)):
        (result,) = call(engine, executable, given, np.array(taken))
        assert not np.shares_memory(result, given)
        np.testing.assert_array_equal(result, sign * given)


@pytest.mark.parametrize("writable", [True, False])
def test_weights_are_bound_where_they_lie(engine: Engine, writable: bool) -> None:
    x, w = Port("x", DType.FLOAT32, (64,)), Port("w", DType.FLOAT32, (64,), 'a "b"\\é')
    program = module("%y = stablehlo.add %x, %w : tensor<64xf32>", (x, w), (Port("y", DType.FLOAT32, (64,)),))
    weight = empty(np.dtype(np.float32), (64,))
    weight[:] = 1
    view = weight.view()
    view.flags.writeable = writable
    executable = loaded(engine, program, {'a "b"\\é': view})
    (first,) = call(engine, executable, np.zeros(64, np.float32))
    weight[:] = 2  # only seen by the executable if it made no copy
    (second,) = call(engine, executable, np.zeros(64, np.float32))
    assert (first == 1).all()
    assert (second == 2).all()


@pytest.mark.parametrize("dtype", [DType.BFLOAT16, DType.BOOL, DType.UINT8, DType.INT64, DType.FLOAT64])
def test_weights_of_other_dtypes_and_repeated_ones(engine: Engine, dtype: DType) -> None:
    given = swap(dtype, (2, 3))
    p, q, flag = given.inputs
    bound = (Port(p.name, dtype, p.sizes, "one"), Port(q.name, dtype, q.sizes, "one"), flag)
    program = Module(given.code, bound, given.outputs)
    weight = pattern(dtype, (2, 3), 7)
    for result in call(engine, loaded(engine, program, {"one": weight}), np.ones((2, 3), np.bool_)):
        assert result.tobytes() == weight.tobytes()


def test_a_weight_of_no_dimensions_and_one_of_no_elements(engine: Engine) -> None:
    x = Port("x", DType.FLOAT32, (2,))
    s, z = Port("s", DType.FLOAT32, (), "scale"), Port("z", DType.FLOAT32, (0,), "nothing")
    program = module(
        """%b = stablehlo.broadcast_in_dim %s, dims = [] : (tensor<f32>) -> tensor<2xf32>
        %m = stablehlo.multiply %x, %b : tensor<2xf32>
        %y = stablehlo.concatenate %m, %z, dim = 0 : (tensor<2xf32>, tensor<0xf32>) -> tensor<2xf32>""",
        (x, s, z),
        (Port("y", DType.FLOAT32, (2,)),),
    )
    weights = {"scale": np.array(3, np.float32), "nothing": np.zeros(0, np.float32)}
    (result,) = call(engine, loaded(engine, program, weights), np.array([1, 2], np.float32))
    np.testing.assert_array_equal(result, [3, 6])


def test_a_module_may_have_only_weights_or_no_arguments(engine: Engine) -> None:
    t = "tensor<3xf32>"
    w, y = Port("w", DType.FLOAT32, (3,), "w"), Port("y", DType.FLOAT32, (3,))
    folded = module(f"%y = stablehlo.add %w, %w : {t}", (w,), (y,))
    (result,) = call(engine, loaded(engine, folded, {"w": np.array([1, 2, 3], np.float32)}))
    np.testing.assert_array_equal(result, [2, 4, 6])
    constant = module(f"%y = stablehlo.constant dense<[1.0, 2.0, 3.0]> : {t}", (), (y,))
    for _ in range(2):
        (result,) = call(engine, loaded(engine, constant))
        np.testing.assert_array_equal(result, [1, 2, 3])
        result[:] = 0


def test_64_bit_types_are_exact(engine: Engine) -> None:
    (integer,) = call(engine, loaded(engine, add_one(DType.INT64)), np.full(4, 2**53, np.int64))
    assert (integer == 2**53 + 1).all()
    (double,) = call(engine, loaded(engine, add_one(DType.FLOAT64)), np.full(4, 1e-9))
    assert (double == 1 + 1e-9).all()


@pytest.mark.parametrize("dtype", [DType.BFLOAT16, DType.FLOAT16])
def test_every_rounding_of_the_module_happens(engine: Engine, dtype: DType) -> None:
    """Conversions to half and back are not folded away: eager rounds after each operation."""
    n = 256
    a, b = Port("a", dtype, (n,)), Port("b", dtype, (n,))
    half, full = tensor(a), f"tensor<{n}xf32>"
    program = module(
        f"""%a1 = stablehlo.convert %a : ({half}) -> {full}
        %b1 = stablehlo.convert %b : ({half}) -> {full}
        %s = stablehlo.add %a1, %b1 : {full}
        %sh = stablehlo.convert %s : ({full}) -> {half}
        %sf = stablehlo.convert %sh : ({half}) -> {full}
        %m = stablehlo.multiply %sf, %b1 : {full}
        %mh = stablehlo.convert %m : ({full}) -> {half}
        %mf = stablehlo.convert %mh : ({half}) -> {full}
        %d = stablehlo.subtract %mf, %a1 : {full}
        %y = stablehlo.convert %d : ({full}) -> {half}""",
        (a, b),
        (Port("y", dtype, (n,)),),
    )
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(n, generator=generator).to(getattr(torch, dtype.value)) for _ in range(2))
    program = after_passes(program, Site(engine, CPU))
    (result,) = call(engine, loaded(engine, program), p, q)
    expected = (p + q) * q - p
    assert result.tobytes() == torch_to_numpy(expected).tobytes()
    single = ((p.float() + q.float()) * q.float() - p.float()).to(p.dtype)
    assert not torch.equal(single, expected), "the sample must tell one rounding from three"


def test_arguments_may_change_right_after_a_call(engine: Engine) -> None:
    executable = loaded(engine, linear(size=512), {"layer.weight": np.eye(512, dtype=np.float32)})
    given = empty(np.dtype(np.float32), (512, 512))
    handle = engine.from_tensor(given, CPU)
    for value in range(5):
        given[:] = value
        (result,) = executable([handle])
        given[:] = -1
        assert (engine.to_numpy(result) == value).all()


def test_two_threads_share_an_executable(engine: Engine) -> None:
    executable = loaded(engine, linear(size=64), {"layer.weight": np.eye(64, dtype=np.float32) * 2})
    wrong: list[int] = []

    def work(value: int) -> None:
        given = np.full((64, 64), value, np.float32)
        for _ in range(100):
            (result,) = call(engine, executable, given)
            if not (result == 2 * value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("at", [0, 9, 40, 200, -1])
def test_damaged_binaries_are_refused(engine: Engine, at: int) -> None:
    program = add_one()
    binary = bytearray(engine.compile(program, CPU))
    binary[at] ^= 0xFF
    with pytest.raises(EngineError, match=r"compile the module anew"):
        engine.load(bytes(binary), program, CPU, {})


def test_truncated_and_foreign_binaries_are_refused(engine: Engine) -> None:
    program = add_one()
    binary = engine.compile(program, CPU)
    for size in (0, 5, 12, 100, len(binary) - 1):
        with pytest.raises(EngineError, match="compile the module anew"):
            engine.load(binary[:size], program, CPU, {})
    other = get_engine("xla" if engine.name == "iree" else "iree")
    with pytest.raises(EngineError, match=f"compiled for engine {engine.name}"):
        other.load(binary, program, CPU, {})
    with pytest.raises(EngineError, match="compiled for device cpu"):
        engine.load(binary, program, TargetOptions("cuda"), {})


def test_a_binary_of_another_version_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    program = add_one()
    binary = engine.compile(program, CPU)
    monkeypatch.setattr(type(engine), "version", lambda self: "0.0+other-cpu")
    with pytest.raises(EngineError, match=r"version .* and this is 0\.0\+other-cpu"):
        engine.load(binary, program, CPU, {})


def test_an_intact_frame_around_garbage_is_refused(engine: Engine) -> None:
    from lowering.host.machine import seal

    program = add_one()
    with pytest.raises(EngineError, match="cannot load the binary"):
        engine.load(seal(engine.name, engine.version(), "cpu", b"garbage" * 99), program, CPU, {})


def test_bad_calls_are_one_sentence(engine: Engine) -> None:
    program = linear()
    binary = engine.compile(program, CPU)
    with pytest.raises(EngineError, match=r"the weight 'layer\.weight' was not given"):
        engine.load(binary, program, CPU, {})
    executable = engine.load(binary, program, CPU, {"layer.weight": np.eye(8, dtype=np.float32)})
    with pytest.raises(EngineError, match="0 arguments given, 1 wanted"):
        executable([])
    with pytest.raises(EngineError):
        executable([engine.from_tensor(np.zeros(3, np.float32), CPU)])
    with pytest.raises(EngineError, match="'tpu'"):
        engine.compile(program, TargetOptions("tpu"))


def test_garbage_code_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineError, match=engine.name):
        engine.compile(Module(b"ML\xefR garbage", (), ()), CPU)


def test_without_a_gpu_cuda_says_what_it_needs(engine: Engine) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match="cuda"):
        engine.from_tensor(np.zeros(3, np.float32), TargetOptions("cuda"))


def test_unknown_engines_are_named() -> None:
    with pytest.raises(EngineError, match="the engine 'tvm' does not exist; there are iree, xla"):
        get_engine("tvm")
