"""Weights in an archive: entries of their own names, shared storages kept, damaged tables refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.weight_files import load_weights, save_weights
from lowering.host.weights import materialise
from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView

DATA = np.arange(12, dtype=np.float32)


def stored(**views: WeightView) -> Weights:
    raw = DATA.view(np.uint8)
    return Weights({"s": Storage(raw.nbytes, lambda: raw)}, views)


def through(weights: Weights, path: Path) -> tuple[dict[str, Any], Weights]:
    table = save_weights(path, weights)
    with path.open("rb") as archive:
        return table, load_weights(archive, table)


def test_a_weight_alone_is_a_dense_entry_of_its_name(tmp_path: Path) -> None:
    columns = WeightView("s", DType.FLOAT32, (3, 4), (1, 3))
    table, loaded = through(stored(w=columns, tied=columns), tmp_path / "w.irpa")
    assert table == {name: [name, "float32", [3, 4], None, 0] for name in ("w", "tied")}
    np.testing.assert_array_equal(materialise(loaded, ["w"])["w"], DATA.reshape(4, 3).T)
    assert loaded.views["w"] == loaded.views["tied"]


def test_views_of_one_storage_keep_it(tmp_path: Path) -> None:
    weights = stored(
        whole=WeightView("s", DType.FLOAT32, (12,), (1,)),
        part=WeightView("s", DType.FLOAT32, (2, 2), (3, 1), 5),
    )
    table, loaded = through(weights, tmp_path / "w.irpa")
    assert {row[0] for row in table.values()} == {"storage/s"}
    assert loaded.views["whole"].storage == loaded.views["part"].storage
    np.testing.assert_array_equal(materialise(loaded, ["part"])["part"], [[5, 6], [8, 9]])


@pytest.mark.parametrize(
    "row",
    [
        ["w", "float32", [3, -4], None, 0],
        ["w", "float32", [12], [1, 1], 0],
        ["w", "float32", [12], [1], -1],
        ["w", "float32", "12", None, 0],
        ["w", "float33", [12], [1], 0],
        ["other", "float32", [12], [1], 0],
        ["w", "float32", [12]],
    ],
)
def test_a_table_that_no_save_wrote_is_refused(row: list[Any], tmp_path: Path) -> None:
    save_weights(tmp_path / "w.irpa", stored(w=WeightView("s", DType.FLOAT32, (12,), (1,))))
    with (tmp_path / "w.irpa").open("rb") as archive, pytest.raises((ValueError, TypeError, KeyError)):
        load_weights(archive, {"w": row})
