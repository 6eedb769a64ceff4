"""Drawn inputs: seeded, of the right types and sizes, with indices that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import bridge
from bridge.verification.draw import draw_inputs, index_bounds
from tests.bridge.samples import NAMES, lowered


def _program(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    class Module(torch.nn.Module):
        def forward(self, *given: Any) -> Any:
            return function(*given)

    options = {"dynamic_shapes": (tuple(options["dynamic"]),)} if options else {}
    return bridge.lower(Module(), args, **options)


@pytest.mark.parametrize("name", NAMES)
def test_files(name: str) -> None:
    program, sizes = lowered(name).program, lowered(name).example_sizes
    once, again = draw_inputs(program, sizes, 3), draw_inputs(program, sizes, 3)
    other = draw_inputs(program, sizes, 4)
    assert len(once) == program.signature.in_spec.leaves
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True) if isinstance(a, torch.Tensor))
    floats = [(a, b) for a, b in zip(once, other, strict=True) if getattr(a, "is_floating_point", bool)()]
    assert all(not torch.equal(a, b) for a, b in floats if a.numel())


TABLE = torch.randn(7, 3)
LONG = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("function", "args", "bound"),
    [
        (lambda t, i: torch.nn.functional.embedding(i, t), (TABLE, LONG), 7),
        (lambda t, i: t[i], (TABLE, LONG), 7),
        (lambda t, i: t[:, i], (TABLE, LONG), 3),
        (lambda t, i: t[i, i], (TABLE, LONG), 3),
        (lambda t, i: t.index_select(1, i), (TABLE, LONG), 3),
        (lambda t, i: t.index_select(-2, i), (TABLE, LONG), 7),
        (lambda t, i: t.gather(0, i.view(1, 2)), (TABLE, LONG), 7),
        (lambda t, i: t.take(i), (TABLE, LONG), 21),
        (lambda t, i: torch.take_along_dim(t, i), (TABLE, LONG), 21),
        (lambda t, i: t.index_add(1, i, torch.ones(7, 2)), (TABLE, LONG), 3),
        (lambda t, i: t.clone().index_copy_(0, i, torch.ones(2, 3)), (TABLE, LONG), 7),
        (lambda t, i: t.index_put((i,), torch.ones(3)), (TABLE, LONG), 7),
        (lambda t, i: t.scatter(1, i.unsqueeze(0), 1.0), (TABLE, LONG), 3),
        (lambda t, i: t[i.to(torch.int64).flatten()], (TABLE, LONG.int().view(2, 1)), 7),
        (lambda t, i: torch.nn.functional.cross_entropy(t, i), (TABLE[:2], LONG), 3),
        (lambda t, i: torch.nn.functional.one_hot(i, 4) + t.sum().long(), (TABLE, LONG), 4),
        (lambda t, i: t[i] + i.sum(), (TABLE, LONG), 7),
    ],
)
def test_indices_exist(function: Callable[..., Any], args: tuple[Any, ...], bound: int) -> None:
    lowered = _program(function, *args)
    names = [spec.name for spec in lowered.program.signature.inputs]
    bounds = index_bounds(lowered.program.graph, lowered.example_sizes)
    assert bounds.get(names[-1]) == bound
    drawn = [draw_inputs(lowered.program, lowered.example_sizes, seed) for seed in range(30)]
    assert max(int(leaves[-1].max()) for leaves in drawn) == bound - 1
    assert min(int(leaves[-1].min()) for leaves in drawn) == 0
    assert bridge.verify(lowered, engines=["aten"]).passed


def test_a_mask_is_no_index() -> None:
    lowered = _program(lambda t, m: t.index_put((m,), torch.zeros(())), TABLE, TABLE > 0)
    drawn = draw_inputs(lowered.program, lowered.example_sizes, 0)
    assert drawn[1].dtype is torch.bool
    assert 0 < int(drawn[1].sum()) < 21


def test_sizes_are_the_examples() -> None:
    n = torch.export.Dim("n", min=3, max=50)
    lowered = _program(lambda t, u: t + u[::2], TABLE, torch.ones(14, 3), dynamic=[{0: n}, {0: 2 * n}])
    shapes = [tuple(leaf.shape) for leaf in draw_inputs(lowered.program, lowered.example_sizes)]
    assert shapes == [(7, 3), (14, 3)]
    assert [t.shape[0] for t in draw_inputs(lowered.program, dict.fromkeys(lowered.example_sizes, 5))] == [
        5,
        10,
    ]


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.bfloat16, torch.float8_e5m2, torch.complex64, torch.bool, torch.uint8, torch.int16],
)
def test_dtypes(dtype: torch.dtype) -> None:
    lowered = _program(lambda x: x.clone(), torch.zeros(40).to(dtype))
    (drawn,) = draw_inputs(lowered.program, {})
    assert drawn.dtype is dtype
    assert len(set(drawn.to(torch.complex64).tolist())) > 1
    if not (dtype.is_floating_point or dtype.is_complex):
        assert 0 <= int(drawn.min()) < int(drawn.max()) < 10
