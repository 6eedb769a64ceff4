"""What eager raises for matrices that have no inverse or no root, a lowered program raises too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import bridge

SINGULAR = torch.tensor([[1.0, 2.0], [2.0, 4.0]])


class Call(torch.nn.Module):
    def __init__(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fn(x)


@pytest.mark.parametrize(
    ("fn", "bad"),
    [
        (torch.linalg.inv, SINGULAR),
        (lambda a: torch.linalg.solve(a, a), SINGULAR),
        (lambda a: torch.linalg.matrix_power(a, -2), SINGULAR),
        (lambda a: torch.linalg.tensorinv(a, ind=1), SINGULAR),
        (lambda a: torch.linalg.tensorsolve(a, a[0]), SINGULAR),
        (torch.linalg.cholesky, -torch.eye(2)),
    ],
)
def test_bad_matrices_raise(fn: Callable[[torch.Tensor], torch.Tensor], bad: torch.Tensor) -> None:
    good = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    lowered = bridge.lower(Call(fn), (good,))
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile("xla")
    torch.testing.assert_close(compiled(good), fn(good))
    for call in (fn, compiled):
        with pytest.raises(torch.linalg.LinAlgError):
            call(bad)
