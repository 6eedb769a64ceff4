"""What rests on torch's tags and names: dependence on data, cost, tensors without elements."""

from __future__ import annotations

import pytest
import torch

from lowering.ir.aten import targets
from lowering.ir.facts import empty
from lowering.ir.facts.contractions import is_attention, is_convolution
from lowering.ir.facts.cost import is_dear
from lowering.ir.facts.data import depends_on_data, tags_depend_on_data
from lowering.ir.facts.effects import changes_strides, is_random
from lowering.ir.facts.empty import takes_nothing
from lowering.targets.aten.operators import resolve

NAMES = {target.split(".")[1] for target in targets()}


def test_dependence_on_data_is_torchs() -> None:
    tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
    for target in targets():
        found = set(resolve(target).tags)
        assert depends_on_data(target) == bool(tags & found), target
        assert tags_depend_on_data({tag.name for tag in found}) == bool(tags & found)
    assert not depends_on_data("my.op.default")


def test_what_is_random_or_changes_strides_is_torchs() -> None:
    for target in targets():
        found = set(resolve(target).tags)
        names = {tag.name for tag in found}
        assert is_random(names) == (torch.Tag.nondeterministic_seeded in found), target
        assert changes_strides(names) == (torch.Tag.inplace_view in found), target
    x = torch.zeros(2, 3)
    resolve("aten.t_.default")(x)
    assert x.shape == (3, 2)


def test_attention_and_convolutions_are_dear() -> None:
    for family, least in ((is_attention, 5), (is_convolution, 8)):
        found = [target for target in targets() if family(target)]
        assert len(found) >= least
        assert all(map(is_dear, found))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("aten.addmm.default", True),
        ("aten.lstm.input", True),
        ("higher_order.scan", True),
        ("higher_order.while_loop", True),
        ("aten.relu.default", False),
        ("my.linear.default", False),
    ],
)
def test_dear(target: str, expected: bool) -> None:
    assert is_dear(target) is expected


def test_what_takes_nothing_is_an_operator() -> None:
    assert NAMES | {name.removesuffix("_") for name in NAMES} >= empty._TAKES_NOTHING


@pytest.mark.parametrize("name", "relu exp neg sigmoid clone any sum t flatten".split())
def test_of_nothing_nothing_or_the_identity_of_a_sum(name: str) -> None:
    assert takes_nothing(f"aten.{name}.default")
    result = getattr(torch, name)(torch.empty(0, 2))
    assert not result.numel() or not result.any()


def test_what_is_not_known_to_take_nothing() -> None:
    assert takes_nothing("_operator.mul")
    assert not takes_nothing("aten.amax.default")
    assert not takes_nothing("my.relu.default")
