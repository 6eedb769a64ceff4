"""The benchmark of models whose sizes a call says: its models, its sides, and its table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.dynamic import table
from benchmarks.dynamic_cases import DYNAMIC_CASES, Sizes
from benchmarks.dynamic_measure import at_sizes, build, timed
from benchmarks.dynamic_sides import Run, VaryingSubject


@pytest.mark.parametrize("name", DYNAMIC_CASES)
@torch.no_grad()
def test_every_model_has_one_module_for_its_sizes(name: str, tmp_path: Path) -> None:
    case = DYNAMIC_CASES[name]
    subject = VaryingSubject(case.build(True), tmp_path)
    for sizes in case.sizes:
        symbols = subject.symbols(sizes)
        assert sorted(symbols.values()) == sorted(sizes)
        assert subject.module.admits(symbols)


@torch.no_grad()
def test_both_binaries_are_compared_with_eager_and_timed(tmp_path: Path) -> None:
    subject = VaryingSubject(DYNAMIC_CASES["mlp"].build(True), tmp_path)
    sides, reasons = build(subject, ["static", "dynamic"])
    assert not reasons
    rows = at_sizes(subject, sides, (5,), seconds=0, clock=iter(range(10**6)).__next__)
    assert {name: row["differs"] for name, row in rows.items()} == {"static": "", "dynamic": ""}
    # By a clock that ticks once whenever it is read.
    assert [row["first_ms"] for row in rows.values()] == [1e3, 1e3]


def test_the_least_time_of_each_side_counts() -> None:
    ticks = iter([0, 9, 10, 15, *range(20, 10**6)])
    runs = {"slow": torch.neg, "quick": torch.abs}
    assert timed(runs, (torch.ones(1),), 0, lambda: float(next(ticks))) == {"slow": 1, "quick": 1}


def test_a_side_that_fails_is_a_reason(tmp_path: Path) -> None:
    subject = VaryingSubject(DYNAMIC_CASES["mlp"].build(True), tmp_path)
    rows = at_sizes(subject, {"failing": _failing}, (5,), seconds=0, clock=iter(range(10**6)).__next__)
    assert rows == {"failing": {"reason": "ValueError: no such size"}}


def _failing(sizes: Sizes) -> Run:
    raise ValueError("no such size")


def test_the_table_has_ratios_and_their_mean() -> None:
    def row(size: int, static: float, dynamic: float) -> dict[str, object]:
        sides = {"static": static, "dynamic": dynamic}
        told = {name: {"ms": ms, "first_ms": 9.0, "differs": ""} for name, ms in sides.items()}
        return {"model": "mlp", "sizes": [size], "sides": told}

    lines = table([row(1, 1.0, 2.0), row(2, 4.0, 2.0)])
    assert lines[2] == "| MLP 512-2048-512 | 1 | 1 (9) | 2 (9) | 2.00 |"
    assert lines[-1] == "Geometric mean of the 2 ratios: 1.00."
