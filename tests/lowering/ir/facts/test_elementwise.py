"""Elementwise and commutative operators are so in torch, to the bit."""

from __future__ import annotations

import pytest
import torch

from lowering.ir.aten import targets
from lowering.ir.facts.elementwise import is_commutative, is_elementwise, is_pointwise
from lowering.targets.aten.operators import resolve

COMMUTATIVE = [target for target in targets() if is_commutative(target)]
ODD = torch.tensor([0.0, -0.0, 1.0, -1.5, float("inf"), -float("inf"), 1e-45, 3e38, 0.1])


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8)


@pytest.mark.parametrize("target", COMMUTATIVE)
def test_operands_may_change_places(target: str) -> None:
    operator = resolve(target)
    whole = [torch.arange(-4, 5, dtype=torch.int64), torch.arange(-4, 5, dtype=torch.int32)]
    for x in whole if "bitwise" in target else (*whole, ODD, ODD.to(torch.bfloat16), ODD.double()):
        left, right = x[:, None].expand(9, 9).contiguous(), x[None].expand(9, 9).contiguous()
        assert torch.equal(_bits(operator(left, right)), _bits(operator(right, left)))


def test_the_table_names_what_torch_has() -> None:
    assert len(COMMUTATIVE) == 10
    assert all(map(is_pointwise, COMMUTATIVE))


def test_pointwise_is_torchs_tag() -> None:
    for target in targets():
        assert is_pointwise(target) == (torch.Tag.pointwise in resolve(target).tags), target


@pytest.mark.parametrize("target", [t for t in targets() if is_elementwise(t) and not is_pointwise(t)])
def test_casts_and_copies_work_on_rows_as_on_the_whole(target: str) -> None:
    more = {} if "clone" in target else {"dtype": torch.float16}
    x = torch.randn(5, 7)
    rows = [resolve(target)(row, **more) for row in x]
    assert torch.equal(torch.stack(rows), resolve(target)(x, **more))
