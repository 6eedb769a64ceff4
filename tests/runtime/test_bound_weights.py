"""The arrays that engines get of weights: one each, kept where the weight stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowering.host.weights import WeightError
from lowering.ir.weights import Weights
from runtime.bound_weights import BoundWeights
from tests.runtime.fakes import weights

ONE, TWO = np.zeros(3, np.float32), np.ones(3, np.float32)


def test_a_weight_is_one_array() -> None:
    bound = BoundWeights(weights(a=ONE))
    first = bound.arrays(["a", None])
    assert first.keys() == {"a"}
    assert bound.arrays(["a"])["a"] is first["a"]
    with pytest.raises(WeightError, match="no weight named 'b'"):
        bound.arrays(["b"])


def test_arrays_of_unchanged_weights_stay() -> None:
    old = weights(a=ONE, b=ONE)
    bound = BoundWeights(old)
    arrays = bound.arrays(["a", "b"])
    new = weights(b=TWO)
    mixed = Weights({**old.storages, "new": new.storages["b"]}, {**old.views})
    mixed = Weights(mixed.storages, {**old.views, "b": replace(new.views["b"], storage="new")})
    after = BoundWeights(mixed, bound)
    assert after.changed == {"b"}
    assert after.arrays(["a"])["a"] is arrays["a"]
    assert after.arrays(["b"])["b"].tolist() == [1.0] * 3
    assert bound.arrays(["b"])["b"] is arrays["b"]


def test_the_same_storage_under_another_key_is_no_change() -> None:
    old = weights(a=ONE)
    new = Weights({"k": old.storages["a"]}, {"a": replace(old.views["a"], storage="k")})
    assert BoundWeights(new, BoundWeights(old)).changed == set()
    moved = Weights(old.storages, {"a": replace(old.views["a"], sizes=(2,))})
    assert BoundWeights(moved, BoundWeights(old)).changed == {"a"}


def test_only_the_storages_of_named_weights_are_kept() -> None:
    found = weights(a=ONE, b=TWO).only(["b", "c"])
    assert found.storages.keys() == found.views.keys() == {"b"}
