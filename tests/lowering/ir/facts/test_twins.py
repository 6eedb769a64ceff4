"""In-place twins are torch's: they exist, write their first argument alone, and give the same."""

from __future__ import annotations

import pytest
import torch

from lowering.ir.aten import targets
from lowering.ir.facts.twins import functional_twin, in_place_twin
from lowering.targets.aten.operators import resolve

TWINS = [(target, twin) for target in targets() if (twin := in_place_twin(target)) is not None]


def test_each_writes_its_first_argument_and_no_other() -> None:
    assert len(TWINS) > 200
    for target, twin in TWINS:
        functional, in_place = resolve(target)._schema, resolve(twin)._schema
        assert not functional.is_mutable, target
        writes = [a.alias_info is not None and a.alias_info.is_write for a in in_place.arguments]
        assert writes == [True] + [False] * (len(writes) - 1), twin
        assert functional_twin(twin) == target


def test_each_overload_that_torch_has_in_place_is_one_or_has_a_reason() -> None:
    """Random ones, those that change strides or write more, and those whose functional overload differs."""
    known = {twin for _, twin in TWINS}
    for target in targets():
        if functional_twin(target) == target or functional_twin(target) not in targets() or target in known:
            continue
        own, other = resolve(target), resolve(functional_twin(target))
        names = [a.name for a in own._schema.arguments]
        writes = [a.name for a in own._schema.arguments if a.alias_info and a.alias_info.is_write]
        differs = names != [a.name for a in other._schema.arguments] or writes != names[:1]
        tags = {torch.Tag.inplace_view, torch.Tag.nondeterministic_seeded}
        views = any(a.alias_info for a in other._schema.returns)
        assert differs or views or tags & set(own.tags), target


@pytest.mark.parametrize("target", ["aten.mul.Tensor", "aten.relu.default", "aten.clamp.default"])
def test_a_twin_gives_the_same(target: str) -> None:
    x = torch.randn(4, 3)
    more = (torch.randn(3),) if target == "aten.mul.Tensor" else (-0.5, 0.5) if "clamp" in target else ()
    expected = resolve(target)(x, *more)
    resolve(in_place_twin(target) or "")(x, *more)
    assert torch.equal(x, expected)


@pytest.mark.parametrize(
    "target", ["aten.t.default", "aten.bernoulli.default", "aten.cat.default", "my.op.default"]
)
def test_without_a_twin(target: str) -> None:
    assert in_place_twin(target) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("aten.add_.Tensor", "aten.add.Tensor"),
        ("aten.add.Tensor", "aten.add.Tensor"),
        ("aten.__and__.Tensor", "aten.__and__.Tensor"),
        ("my.op_.default", "my.op_.default"),
        ("higher_order.cond", "higher_order.cond"),
        ("", ""),
    ],
)
def test_functional_twins(target: str, expected: str) -> None:
    assert functional_twin(target) == expected
