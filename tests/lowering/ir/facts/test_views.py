"""Views, carriers and functional writes do in torch what the tables say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lowering.ir.aten import schema, targets
from lowering.ir.facts import views
from lowering.ir.facts.views import (
    carries,
    gives_sizes,
    is_view,
    needs_rows,
    of_any_strides,
    only_views,
    written_part,
)
from lowering.targets.aten.operators import resolve

X = torch.arange(24.0).reshape(4, 6)
# What a carrier is given beside its first argument.
GIVEN: dict[str, tuple[Any, ...]] = {
    "view.default": ([6, 4],),
    "reshape.default": ([6, 4],),
    "flatten.using_ints": (),
    "unsqueeze.default": (1,),
    "squeeze.default": (),
    "expand.default": ([2, 4, 6],),
    "clone.default": (),
    "contiguous.default": (),
    "to.dtype": (torch.float64,),
    "_to_copy.default": (),
    "slice.Tensor": (1, 1, 5, 2),
    "select.int": (0, 2),
    "transpose.int": (0, 1),
    "permute.default": ([1, 0],),
    "alias.default": (),
    "detach.default": (),
    "lift_fresh_copy.default": (),
    "type_as.default": (torch.zeros(1),),
    "t.default": (),
    "_unsafe_view.default": ([24],),
    "view_as.default": (torch.zeros(24),),
    "expand_as.default": (torch.zeros(2, 4, 6),),
    "broadcast_to.default": ([2, 4, 6],),
    "repeat.default": ([2, 1],),
    "flip.default": ([0],),
    "roll.default": ([1], [0]),
}


@pytest.mark.parametrize("target", sorted(views._SIZED))
def test_sizes_are_told(target: str) -> None:
    assert gives_sizes(target)
    assert resolve(target)(X, [1, 4, 6]).shape == (1, 4, 6)
    assert not gives_sizes("aten.flatten.using_ints")


def test_each_carrier_is_called_below() -> None:
    assert {name.split(".")[0] for name in GIVEN} == views._CARRIERS


@pytest.mark.parametrize("name", GIVEN)
def test_a_carrier_gives_numbers_of_its_argument(name: str) -> None:
    assert carries(f"aten.{name}")
    assert set(resolve(f"aten.{name}")(X, *GIVEN[name]).reshape(-1).tolist()) <= set(X.reshape(-1).tolist())


def test_views_are_those_whose_results_torch_aliases() -> None:
    for target in targets():
        returns = [r.alias_info for r in resolve(target)._schema.returns]
        assert is_view(target) == any(a is not None and not a.is_write for a in returns), target
        if any(returns) and all(returns):
            assert only_views(target), target


def test_what_computes_is_no_view() -> None:
    assert not is_view("aten.relu.default")
    assert not is_view("aten.relu_.default")
    assert not only_views("aten.relu.default")
    assert not only_views("my.op.default")


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("aten.slice_scatter.default", {"dim": 1, "start": 2, "end": 4}),
        ("aten.select_scatter.default", {"dim": 0, "index": 1}),
        ("aten.diagonal_scatter.default", {"offset": 1}),
    ],
)
def test_a_functional_write_copies_into_its_view(target: str, where: dict[str, int]) -> None:
    part = written_part(target)
    assert part is not None
    copy = X.clone()
    view = resolve(part)(copy, **where)
    source = torch.full_like(view, -1.0)
    view.copy_(source)
    assert torch.equal(copy, resolve(target)(X, source, **where))


@pytest.mark.parametrize("target", [t for t in targets() if of_any_strides(t)])
def test_what_takes_any_strides(target: str) -> None:
    general = of_any_strides(target) or ""
    assert torch.equal(resolve(target)(X, [3, 8]), resolve(general)(X, [3, 8]))
    with pytest.raises(RuntimeError):
        resolve("aten.view.default")(X.t(), [3, 8])
    assert torch.equal(resolve(general)(X.t(), [3, 8]), X.t().contiguous().view(3, 8))
    known, other = schema(target), schema(general)
    assert known is not None
    assert other is not None
    assert len(known.parameters) == len(other.parameters)


@pytest.mark.parametrize(
    ("target", "more"), [("aten.view.dtype", (torch.float64,)), ("aten.view_as_complex.default", ())]
)
def test_what_needs_rows(target: str, more: tuple[Any, ...]) -> None:
    assert needs_rows(target)
    square = torch.zeros(2, 2)
    resolve(target)(square, *more)
    with pytest.raises(RuntimeError, match="stride"):
        resolve(target)(square.t(), *more)
