"""The exported programs of tests/data/pt2: each with its inputs and what eager gave for them.

Reads with numpy only, so that a process without torch can use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

ROOT = Path(__file__).parent / "data" / "pt2"

# Inputs and outputs that the files hold as bits, since numpy has no name for their dtype.
_BFLOAT16 = {"mixed_types": {"in1", "out4"}}

# Values known only once the data is: the one program that keeps nodes on ATen.
DATA_DEPENDENT = "data_dependent"


@dataclass(frozen=True)
class Pt2Sample:
    """One program: `expected` has the keys of tests/data/pt2/README.md."""

    path: Path
    expected: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.path.stem

    def __str__(self) -> str:
        return f"{self.path.parent.name}-{self.name}"

    def leaves(self) -> list[np.ndarray]:
        """Fresh copies of the inputs, in order."""
        return [value.copy() for value in self._numbered("in")]

    def call(self, leaves: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The leaves as the program's arguments."""
        if self.name == "tree":
            return ({"a": leaves[0], "b": [leaves[1], leaves[2]]},), {"shift": leaves[3]}
        return tuple(leaves), {}

    def outputs(self) -> list[np.ndarray]:
        return self._numbered("out")

    def inputs_after(self) -> list[np.ndarray]:
        return self._numbered("after_in")

    def buffers_after(self) -> dict[str, np.ndarray]:
        prefix = "after_buffer."
        return {key.removeprefix(prefix): v for key, v in self.expected.items() if key.startswith(prefix)}

    def _numbered(self, prefix: str) -> list[np.ndarray]:
        count = sum(key.removeprefix(prefix).isdigit() for key in self.expected if key.startswith(prefix))
        return [self.expected[f"{prefix}{i}"] for i in range(count)]


def load_sample(path: Path) -> Pt2Sample:
    """A program and its expected values."""
    bits = _BFLOAT16.get(path.stem, set())
    with np.load(path.with_suffix(".expected.npz")) as content:
        expected = {
            key: content[key].view(ml_dtypes.bfloat16) if key.removeprefix("after_") in bits else content[key]
            for key in content.files
        }
    return Pt2Sample(path, expected)


SAMPLES = [load_sample(path) for path in sorted(ROOT.glob("*/*.pt2"))]


def _torch(sample: Pt2Sample) -> tuple[int, ...]:
    """The version of torch that wrote a sample."""
    return tuple(map(int, sample.path.parent.name.removeprefix("torch-").split(".")))


#: The samples of the newest torch; other versions wrote the same programs.
NEWEST = [sample for sample in SAMPLES if _torch(sample) == max(map(_torch, SAMPLES))]


def flat(result: Any) -> list[Any]:
    """Leaves of a result made of dicts, lists and tuples, in order."""
    if isinstance(result, dict):
        return [leaf for value in result.values() for leaf in flat(value)]
    if isinstance(result, list | tuple):
        return [leaf for value in result for leaf in flat(value)]
    return [result]


def check_values(sample: Pt2Sample, compiled: Any) -> None:
    """Call once; outputs, inputs and buffers afterwards are eager's, or AssertionError."""
    leaves = sample.leaves()
    args, kwargs = sample.call(leaves)
    outputs = flat(compiled(*args, **kwargs))
    expected = sample.outputs()
    assert len(outputs) == len(expected)
    for index, (got, want) in enumerate(zip(outputs, expected, strict=True)):
        check_equal(f"output {index}", np.asarray(got), want)
    for index, (got, want) in enumerate(zip(leaves, sample.inputs_after(), strict=True)):
        check_equal(f"input {index} after the call", got, want)
    for name, got in compiled.buffers.items():
        check_equal(f"buffer {name} after the call", np.asarray(got), sample.buffers_after()[name])


def check_equal(name: str, got: np.ndarray, want: np.ndarray) -> None:
    """Same dtype, sizes and values: floats within a few roundings of float32, the rest exactly."""
    assert got.dtype == want.dtype, f"{name}: {got.dtype}, eager gives {want.dtype}"
    assert got.shape == want.shape, f"{name}: {got.shape}, eager gives {want.shape}"
    if got.dtype.kind in "iub":
        assert np.array_equal(got, want), f"{name} differs"
    else:
        rtol = {4: 2e-6, 8: 1e-12}.get(got.dtype.itemsize, 1e-2)
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=rtol, err_msg=name
        )
