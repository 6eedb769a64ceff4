"""Rows: shares that sum to one, operators by name, kernels by name and segment."""

from __future__ import annotations

from collections import Counter

import pytest

from bridge.profiling.peak import Peak
from bridge.profiling.rows import kernels, parts, single
from tests.bridge.profiling.profiles import kernel, mixed

ONE = 4 * 4 * 4


def test_parts_sum_to_the_call() -> None:
    profile = mixed(kernel("k", 0.0, 1.0))
    rows = parts(profile)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.seconds for row in rows) == pytest.approx(profile.seconds)
    assert [row.seconds for row in rows] == sorted((row.seconds for row in rows), reverse=True)


def test_every_node_is_in_one_part() -> None:
    named = Counter(name for row in parts(mixed()) for name in row.nodes)
    assert named == dict.fromkeys("abcde", 1)


def test_operators_are_together() -> None:
    rows = {(row.kind, row.name): row for row in parts(mixed())}
    add = rows["operator", "aten.add.Tensor"]
    assert (add.count, add.nbytes, add.flops, add.nodes) == (2, 6 * ONE, 0, ("b", "c"))
    assert rows["operator", "aten.mm.default"].flops == 2 * 4**3
    assert rows["execute", "fake"].flops == 2 * 4**3
    assert rows["execute", "fake"].segment == 0
    assert rows["export", "a"].nbytes == ONE
    assert {kind for kind, _ in rows} == {
        "bind", "import", "execute", "export", "operator", "results", "between",
    }  # fmt: skip


def test_a_peak_gives_shares_of_it() -> None:
    rows = parts(mixed(), Peak(1e12, 1e12))
    add = next(row for row in rows if row.name == "aten.add.Tensor")
    assert add.of_peak == pytest.approx(add.nbytes / 1e12 / add.seconds)
    assert next(row for row in rows if row.kind == "bind").of_peak == 0


def test_kernels_of_a_name_are_together() -> None:
    spans = [kernel("k", 0, 1, nodes=["a"]), kernel("j", 1, 1, nodes=[]), kernel("k", 2, 4, nodes=["a"])]
    rows = kernels(mixed(*spans))
    assert [(row.name, row.count, row.seconds, row.nodes) for row in rows] == [
        ("k", 2, 5.0, ("a",)),
        ("j", 1, 1.0, ()),
    ]
    assert sum(row.share for row in rows) == pytest.approx(1)


def test_single_runs_keep_their_nodes() -> None:
    rows = single(mixed(kernel("k", 0, 1e6)))
    assert (rows[0].kind, rows[0].name, rows[0].nodes, rows[0].seconds) == ("kernel", "k", ("a",), 1e6)
    assert sorted(row.nodes for row in rows[1:]) == [("b",), ("c",), ("d",), ("e",)]


def test_a_row_is_plain_data() -> None:
    row = kernels(mixed(kernel("k", 0, 2)))[0].json()
    assert row == {
        "kind": "kernel", "name": "k", "segment": 0, "count": 1, "seconds": 2.0, "share": 1.0,
        "bytes": 0, "flops": 0, "of_peak": 0.0, "nodes": ["a"],
    }  # fmt: skip
    assert parts(mixed())[0].json()["seconds"] > 0
