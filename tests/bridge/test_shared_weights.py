"""Weights of several programs become one set: what is kept once, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import UsageError
from bridge.shared_weights import shared_weights
from lowering.host.weights import materialise
from lowering.ir.types import DType
from lowering.ir.weights import Weights, WeightView, absent_storage
from tests.runtime.fakes import weights

ONES, TWOS = np.ones(3, np.float32), np.full((2, 2), 2.0, np.float32)


def test_names_that_two_methods_have_are_kept_once() -> None:
    found = shared_weights({"a": weights(w=ONES, x=TWOS), "b": weights(w=ONES, y=TWOS)})
    assert sorted(found.views) == ["w", "x", "y"]
    assert len(found.storages) == 3
    assert {n: v.tolist() for n, v in materialise(found, found.views).items()} == {
        "w": [1, 1, 1], "x": [[2, 2], [2, 2]], "y": [[2, 2], [2, 2]],
    }  # fmt: skip


def test_other_names_of_one_place_are_one_storage() -> None:
    first = weights(w=ONES)
    other = Weights({"key": first.storages["w"]}, {"model.w": WeightView("key", DType.FLOAT32, (3,), (1,))})
    found = shared_weights({"a": first, "b": other})
    assert list(found.storages) == ["a/w"]
    assert {view.storage for view in found.views.values()} == {"a/w"}


def test_a_transposed_view_is_compared_by_its_elements() -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    plain = weights(w=matrix)
    other = weights(w=np.ascontiguousarray(matrix.T))
    turned = Weights(other.storages, {"w": WeightView("w", DType.FLOAT32, (2, 3), (1, 2))})
    assert shared_weights({"a": plain, "b": turned}).views["w"].strides == (3, 1)


def test_absent_weights_are_shared_by_name() -> None:
    absent = Weights({"k": absent_storage(12)}, {"w": WeightView("k", DType.FLOAT32, (3,), (1,))})
    assert list(shared_weights({"a": absent, "b": absent}).views) == ["w"]
    with pytest.raises(UsageError, match="has other values"):
        shared_weights({"a": absent, "b": weights(w=ONES)})


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (np.ones(4, np.float32), "is float32 [4] in the method b and float32 [3] in a"),
        (np.ones(3, np.float64), "is float64 [3] in the method b and float32 [3] in a"),
        (-ONES, "has other values in the method b than in a"),
    ],
)
def test_weights_of_one_name_that_differ_are_refused(other: np.ndarray, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        shared_weights({"a": weights(w=ONES), "b": weights(w=other)})
    assert str(raised.value) == f"`w` {problem}; methods share their weights by name"
