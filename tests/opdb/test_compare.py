"""The judge itself: what it must tell apart."""

from __future__ import annotations

import torch

from tests.opdb.compare import compare

X = torch.tensor([[2.0, 1.0, 2.0], [3.0, 3.0, 1.0]])


def problem(name: str, inputs: list, got: list, want: list, stable: bool = False) -> str:
    return compare(name, "float32", inputs, got, want, stable).problem


def test_values_dtypes_and_sizes_count() -> None:
    assert not problem("add", [X], [X], [X.clone()])
    assert "differs in 1 of 6" in problem("add", [X], [X.index_fill(0, torch.tensor([0]), 2.0)], [X])
    assert "float64" in problem("add", [X], [X.double()], [X])
    assert "sizes" in problem("add", [X], [X[:1]], [X])
    assert problem("add", [X], [], [X])
    assert problem("add", [X], [2], [2.0])


def test_ten_times_the_tolerance_is_noted() -> None:
    near = compare("add", "float32", [X], [X * (1 + 1e-5)], [X])
    assert not near.problem
    assert near.factor == 10
    assert problem("add", [X], [X * (1 + 1e-3)], [X])


def test_undefined_values_may_differ() -> None:
    assert not problem("empty_like", [X], [X + 1], [X])
    assert problem("empty_like", [X], [X.double()], [X])


def test_equal_elements_come_in_any_order() -> None:
    values, order = X.sort(dim=1, stable=True)
    other = torch.tensor([[1, 2, 0], [2, 1, 0]])
    assert not problem("sort", [X], [values, other], [values, order])
    assert problem("sort", [X], [values, other], [values, order], stable=True)
    assert problem("sort", [X], [values, torch.tensor([[1, 0, 0], [2, 1, 0]])], [values, order])
    assert problem("sort", [X], [values, torch.tensor([[0, 1, 2], [2, 1, 0]])], [values, order])
    assert not problem("argsort", [X], [other], [order])


def test_factors_are_judged_by_what_they_multiply_to() -> None:
    u, s, vh = torch.linalg.svd(X, full_matrices=False)
    assert not problem("linalg.svd", [X], [-u, s, -vh], [u, s, vh])
    assert "U S V" in problem("linalg.svd", [X], [-u, s, vh], [u, s, vh])
    assert problem("linalg.svd", [X], [u * 2, s, vh / 2], [u, s, vh])
    q, r = torch.linalg.qr(X)
    assert not problem("linalg.qr", [X], [-q, -r], [q, r])
    assert problem("linalg.qr", [X], [q, -r], [q, r])
