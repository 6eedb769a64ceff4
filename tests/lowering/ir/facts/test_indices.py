"""Arguments that hold indices: torch takes the last of those to choose from, and none beyond."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lowering.ir.aten import schema, targets
from lowering.ir.facts import indices
from lowering.ir.facts.indices import (
    INDEX_ARGUMENTS,
    Addresses,
    addresses,
    index_limits,
    may_sum_in_any_order,
)
from lowering.ir.facts.namespaces import base_name
from lowering.ir.types import DType, TensorType
from lowering.targets.aten.operators import resolve

X = torch.arange(12.0).reshape(3, 4)
TWO = torch.tensor([0, 1])
ROWS = torch.ones(2, 4)

# Calls by name, whose indices may go up to the number.
CALLS: dict[str, tuple[dict[str, Any], int]] = {
    "aten.embedding.default": ({"weight": X, "indices": TWO}, 3),
    "aten.embedding_bag.default": ({"weight": X, "indices": TWO, "offsets": torch.tensor([0])}, 3),
    "aten.index_select.default": ({"self": X, "dim": 1, "index": TWO}, 4),
    "aten.gather.default": ({"self": X, "dim": 0, "index": TWO[None]}, 3),
    "aten.index_copy.default": ({"self": X, "dim": 0, "index": TWO, "source": ROWS}, 3),
    "aten.index_add.default": ({"self": X, "dim": 0, "index": TWO, "source": ROWS}, 3),
    "aten.index_fill.int_Scalar": ({"self": X, "dim": -1, "index": TWO, "value": 1.0}, 4),
    "aten.index_reduce.default": (
        {"self": X, "dim": 0, "index": TWO, "source": ROWS, "reduce": "amax"},
        3,
    ),
    "aten.scatter.value": ({"self": X, "dim": 1, "index": TWO[None], "value": 1.0}, 4),
    "aten.scatter_add.default": ({"self": X, "dim": 1, "index": TWO[None], "src": ROWS}, 4),
    "aten.scatter_reduce.two": ({"self": X, "dim": 0, "index": TWO[None], "src": ROWS, "reduce": "amax"}, 3),
    "aten.take.default": ({"self": X, "index": TWO}, 12),
    "aten.put.default": ({"self": X, "index": TWO, "source": torch.ones(2)}, 12),
    "aten.take_along_dim.default": ({"self": X, "indices": TWO}, 12),
    "aten.one_hot.default": ({"self": TWO, "num_classes": 5}, 5),
    "aten.nll_loss.default": ({"self": X[:2], "target": TWO}, 4),
    "aten.nll_loss_nd.default": ({"self": X[:2], "target": TWO}, 4),
    "aten.cross_entropy_loss.default": ({"self": X[:2], "target": TWO}, 4),
}


def _limits(target: str, given: dict[str, Any]) -> list[tuple[Any, int | None]]:
    known = schema(target)
    assert known is not None
    bound = {p.name: given.get(p.name, p.default) for p in known.parameters}

    def type_of(arg: Any) -> TensorType | None:
        if not isinstance(arg, torch.Tensor):
            return None
        return TensorType(DType(str(arg.dtype).removeprefix("torch.")), tuple(arg.shape), tuple(arg.stride()))

    def sizes(arg: Any) -> tuple[int, ...]:
        return tuple(arg.shape)

    return list(index_limits(target, bound, type_of, sizes))


def test_each_operator_is_called_below() -> None:
    assert {base_name(target) for target in CALLS} == set(INDEX_ARGUMENTS)


def test_each_overload_has_the_argument() -> None:
    for target in targets():
        row = INDEX_ARGUMENTS.get(base_name(target))
        if row is not None and "Dimname" not in str(resolve(target)._schema):
            assert row.name in [a.name for a in resolve(target)._schema.arguments], target


@pytest.mark.parametrize("target", CALLS)
def test_the_limit_is_torchs(target: str) -> None:
    given, limit = CALLS[target]
    ((index, found),) = _limits(target, given)
    assert found == limit
    name = next(name for name, value in given.items() if value is index)
    resolve(target)(**{**given, name: index.clone().fill_(limit - 1)})
    with pytest.raises((IndexError, RuntimeError)):
        resolve(target)(**{**given, name: index.clone().fill_(limit)})


def test_one_index_for_each_leading_axis() -> None:
    assert _limits("aten.index.Tensor", {"self": X, "indices": (None, TWO)}) == [(None, 3), (TWO, 4)]
    mask = X[:, 0] > 0
    assert _limits("aten.index.Tensor", {"self": X, "indices": (mask, TWO)}) == [(TWO, 4)]
    assert list(index_limits("my.index.Tensor", {}, lambda arg: None, lambda arg: ())) == []


def test_without_a_number_of_classes_any_is_one() -> None:
    assert _limits("aten.one_hot.default", {"self": TWO}) == [(TWO, None)]


@pytest.mark.parametrize("name", sorted(indices._WRITTEN))
def test_only_what_is_addressed_is_written(name: str) -> None:
    """Rows, elements or points, as the table says."""
    kind = indices._WRITTEN[name]
    overload = {"index_fill": "int_Scalar", "scatter": "value", "scatter_reduce": "two"}.get(name, "default")
    index = torch.tensor([[1]]) if kind is Addresses.ELEMENT else torch.tensor([1])
    source: Any = -7.0 if overload in ("int_Scalar", "value") else torch.full((1, 4), -7.0)
    given: tuple[Any, ...] = (0, index, source, *(("amin",) if "reduce" in name else ()))
    written = {(1, 0)} if kind is Addresses.ELEMENT else {(1, at) for at in range(4)}
    if kind is Addresses.POINT:
        written, given = {(1, 2)}, ([index, torch.tensor([2])], torch.tensor(-7.0))
    after = resolve(f"aten.{name}.{overload}")(X, *given)
    assert {tuple(place) for place in (after != X).nonzero().tolist()} == written
    assert addresses(f"aten.{name}_.default") is kind
    assert addresses(f"my.{name}_.default") is None


def test_what_sums_in_any_order_accumulates() -> None:
    found = [target for target in targets() if may_sum_in_any_order(target)]
    assert len(found) > 5
    for target in found:
        known = schema(target)
        assert known is not None
        assert {"self", "accumulate"} <= {p.name for p in known.parameters}, target
