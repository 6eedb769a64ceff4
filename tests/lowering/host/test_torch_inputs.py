"""Tensors that mean more than their elements are refused, each in a sentence."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from lowering.host.torch_inputs import has_tangents, lost_meaning
from tests.runtime.fakes import tensor

TYPE = tensor(2)
X = torch.ones(2)


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X.to_sparse(), "is sparse_coo, the program takes strided"),
        (torch.nested.nested_tensor([X, X]), "is a nested tensor, the program takes plain tensors"),
        (X.as_subclass(Subclass), "is a Subclass, the program takes plain tensors"),
        (X.clone().requires_grad_(), "requires grad, and the program's results have no history"),
    ],
)
def test_what_would_be_lost_is_said(given: torch.Tensor, message: str) -> None:
    assert lost_meaning(given, TYPE).startswith(message)


def test_plain_tensors_and_parameters_without_gradients_are_taken() -> None:
    assert lost_meaning(X, TYPE) == ""
    with torch.no_grad():
        assert lost_meaning(torch.nn.Parameter(X), TYPE) == ""


def test_tensors_inside_a_transform_are_refused() -> None:
    seen = []
    torch.func.vmap(lambda row: seen.append(lost_meaning(row, tensor())) or row)(X)
    assert seen == ["is traced by torch.func, which does not see into the program: call it outside"]


def test_a_tangent_is_refused_and_noticed_only_while_there_can_be_one() -> None:
    assert not has_tangents()
    with forward_ad.dual_level():
        assert has_tangents()
        assert lost_meaning(X, TYPE) == ""
        dual = forward_ad.make_dual(X, X)
        assert lost_meaning(dual, TYPE) == (
            "has a tangent, and the program's results have none: pass the primal"
        )
