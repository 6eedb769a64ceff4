"""The ends of ranges, and a prime between them."""

from __future__ import annotations

from typing import Any

import torch

import bridge
from bridge.verification.range_sizes import range_sizes

AUTO = torch.export.Dim.AUTO


class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1) * 2


def lowered(dim: Any, *shape: int) -> bridge.Lowered:
    return bridge.lower(torch.export.export(Rows(), (torch.ones(*shape),), dynamic_shapes=({0: dim},)))


def found(dim: Any, *shape: int) -> dict[str, int]:
    labels = range_sizes(lowered(dim, *shape).program)
    return {label.partition(" ")[0]: min(sizes.values()) for label, sizes in labels.items()}


def test_the_ends_and_a_prime_between() -> None:
    assert found(torch.export.Dim("n", max=64), 3, 4) == {"smallest": 1, "largest": 64, "between": 23}
    assert found(torch.export.Dim("n", min=3, max=8), 4, 4) == {"smallest": 3, "largest": 8, "between": 5}


def test_without_an_upper_end_it_is_twice_the_example() -> None:
    assert found(AUTO, 5, 4) == {"smallest": 1, "largest": 11, "between": 7}


def test_the_largest_is_bounded() -> None:
    assert found(torch.export.Dim("n", max=1 << 20), 4, 256)["largest"] == 4096


def test_a_program_of_known_sizes_has_none() -> None:
    assert range_sizes(bridge.lower(Rows(), (torch.ones(3),)).program) == {}


def test_verification_has_a_row_for_each_and_for_those_asked_for() -> None:
    report = bridge.verify(lowered(torch.export.Dim("n", max=9), 3, 4), engines=["xla"], sizes=[{"x.0": 4}])
    assert report.passed
    (engine,) = report.engines
    kinds = [edge.kind.split(",")[0] for edge in engine.edges]
    assert [kind.split("=")[0].split(" s")[0] for kind in kinds] == [
        "smallest",
        "largest",
        "between",
        "sizes",
    ]
    assert "=4" in engine.edges[-1].kind


def test_a_size_at_which_an_engine_differs_is_a_failure() -> None:
    class Sized(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    given = torch.export.export(
        Sized(), (torch.ones(3, 4),), dynamic_shapes=({0: torch.export.Dim("n", max=9)},)
    )

    class Other(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (2 if x.shape[0] != 9 else 3)

    report = bridge.verify(given, engines=["xla"], against=Other())
    (engine,) = report.engines
    assert [edge.passed for edge in engine.edges] == [True, False, True]
    assert not report.passed
