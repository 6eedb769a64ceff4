from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from lowering.host.irpa import read_irpa, write_irpa
from lowering.host.tensors import address, empty, is_aligned
from lowering.host.weights import WeightError, materialise
from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView


def storage(array: np.ndarray) -> Storage:
    return Storage(array.nbytes, lambda: array)


def block(count: int = 64) -> np.ndarray:
    """The float32 numbers 0, 1, 2, ... as aligned raw bytes."""
    array = empty(np.dtype(np.float32), (count,))
    array[:] = np.arange(count)
    return array.view(np.uint8)


def one(view: WeightView, raw: np.ndarray) -> np.ndarray:
    return materialise(Weights({"s": storage(raw)}, {"w": view}), ["w"])["w"]


def test_dense_views_are_not_copied() -> None:
    raw = block()
    array = one(WeightView("s", DType.FLOAT32, (2, 4), (4, 1), 16), raw)
    assert address(array) == address(raw) + 64
    np.testing.assert_array_equal(array, np.arange(16, 24).reshape(2, 4))


@pytest.mark.parametrize(
    ("sizes", "strides", "offset"),
    [((4, 2), (1, 4), 0), ((3,), (5,), 0), ((2, 3), (0, 1), 0), ((4,), (1,), 1), ((2, 2), (8, 2), 3)],
)
def test_other_views_become_dense_and_aligned(
    sizes: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    raw = block()
    array = one(WeightView("s", DType.FLOAT32, sizes, strides, offset), raw)
    assert is_aligned(array)
    assert array.flags.c_contiguous
    flat = raw.view(np.float32)
    for index in np.ndindex(*sizes):
        at = offset + sum(i * step for i, step in zip(index, strides, strict=True))
        assert array[index] == flat[at]


def test_equal_views_give_one_array_and_nothing_else_is_opened() -> None:
    raw = block()
    opened: list[str] = []

    def opens(key: str) -> Storage:
        return Storage(raw.nbytes, lambda: opened.append(key) or raw)

    tied = WeightView("a", DType.FLOAT32, (2, 2), (1, 2))
    weights = Weights(
        {"a": opens("a"), "b": opens("b")},
        {"in": tied, "out": tied, "other": WeightView("b", DType.FLOAT32, (1,), (1,))},
    )
    arrays = materialise(weights, ["in", "out"])
    assert arrays["in"] is arrays["out"]
    assert opened == ["a"]


@pytest.mark.parametrize("dtype", [d for d in DType if d is not DType.COMPLEX32])
@pytest.mark.parametrize("sizes", [(), (0, 2), (2, 2)])
def test_every_dtype(dtype: DType, sizes: tuple[int, ...]) -> None:
    array = one(WeightView("s", dtype, sizes, (2, 1)[: len(sizes)]), block())
    assert array.shape == sizes
    assert array.dtype.itemsize == dtype.itemsize


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (WeightView("s", DType.FLOAT32, (65,), (1,)), "past the end"),
        (WeightView("s", DType.FLOAT32, (2,), (63,), 1), "past the end"),
        (WeightView("s", DType.FLOAT32, (2,), (-1,), 1), "strides"),
        (WeightView("s", DType.FLOAT32, (2,), (1, 1)), "strides"),
        (WeightView("s", DType.FLOAT32, (1,), (1,), -1), "offset"),
        (WeightView("gone", DType.FLOAT32, (1,), (1,)), "does not exist"),
        (WeightView("s", DType.COMPLEX32, (1,), (1,)), "complex32"),
    ],
)
def test_views_that_do_not_fit_are_refused(view: WeightView, message: str) -> None:
    with pytest.raises(WeightError, match=message):
        one(view, block())


def test_unknown_names_and_short_storages_are_refused() -> None:
    with pytest.raises(WeightError, match="no weight named 'x'"):
        materialise(Weights(), ["x"])
    short = Weights({"s": Storage(512, block)}, {"w": WeightView("s", DType.FLOAT32, (1,), (1,))})
    with pytest.raises(WeightError, match="256 bytes, not 512"):
        materialise(short, ["w"])


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tied = rng.normal(size=(16, 8)).astype(np.float32)
    return {
        "embed.weight": tied,
        "head.weight": tied,
        "half": rng.normal(size=(5,)).astype(ml_dtypes.bfloat16),
        "eighth": rng.normal(size=(3, 3)).astype(ml_dtypes.float8_e4m3fn),
        "step": np.array(7, np.int64),
        "none": np.zeros((0, 4), np.float32),
        'naïve "name"': np.array([True, False]),
    }


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        return read_irpa(file)


def test_archives_round_trip_mapped_and_tied(tmp_path: Path) -> None:
    path, given = tmp_path / "w.irpa", arrays()
    write_irpa(path, given)
    read = _read(path)
    assert list(read) == list(given)
    for name, array in given.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
        assert is_aligned(read[name])
        assert not read[name].flags.writeable
    assert read["embed.weight"] is read["head.weight"]


def test_archives_are_byte_identical(tmp_path: Path) -> None:
    write_irpa(tmp_path / "a", arrays())
    write_irpa(tmp_path / "b", arrays())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_stock_tools_read_archives(tmp_path: Path) -> None:
    rt = pytest.importorskip("iree.runtime")
    path, given = tmp_path / "w.irpa", arrays()
    write_irpa(path, given)
    index = rt.ParameterIndex()
    index.load(str(path))
    assert {name: bytes(entry.file_view) for name, entry in index.items()} == {
        name: array.tobytes() for name, array in given.items()
    }


def test_damaged_archives_are_refused_or_read_within_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.irpa"
    write_irpa(path, arrays())
    whole = path.read_bytes()
    for size in (0, 10, 88, 120, 600, 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightError):
            _read(path)
    for at in range(0, 1000, 3):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            for array in _read(path).values():
                array.tobytes()
        except WeightError:
            pass


def test_writing_needs_no_memory_of_the_weights_size(tmp_path: Path) -> None:
    """64 MB, mapped from a sparse file, are written in a process whose heap may not grow by half of that."""
    program = f"""
import numpy as np, resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from lowering.host.irpa import read_irpa, write_irpa
folder = Path({str(tmp_path)!r})
(folder / "raw").write_bytes(b"")
with open(folder / "raw", "r+b") as file: file.truncate(1 << 26)
array = np.memmap(folder / "raw", np.float32, "r")
limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = int(open("/proc/self/statm").read().split()[5]) * 4096
resource.setrlimit(resource.RLIMIT_DATA, (size + (1 << 25), -1))
write_irpa(folder / "w.irpa", {{"w": array}})
with open(folder / "w.irpa", "rb") as file: read = read_irpa(file)
assert read["w"].shape == (1 << 24,)
assert not {{"torch", "jax", "iree"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
