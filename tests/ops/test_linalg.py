"""What eager raises for matrices that have no inverse or no root, a lowered program raises too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import bridge
from lowering.targets import get_engine
from tests.ops.driver import Sample, check

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_exponentials_of_small_matrices_have_eager_s_digits(engine: str, dtype: torch.dtype) -> None:
    """Each product is rounded before it is added; squaring makes thousands of roundings of each."""
    matrix = torch.randn(4, 4, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3
    check(Sample("aten.linalg_matrix_exp.default", (matrix,), rtol=0, atol=0), get_engine(engine))
