"""The schemas of operators outside ATen."""

from __future__ import annotations

import torch

import bridge
from lowering.ir.custom_operators import schema_of


def test_one_that_is_registered_after_it_was_looked_up() -> None:
    assert schema_of("bridge_later.twice.default") is None
    library = torch.library.Library("bridge_later", "DEF")
    library.define("twice(Tensor(a!) x, *, float by=2.0) -> Tensor")
    found = schema_of("bridge_later.twice.default")
    assert found is not None
    assert [parameter.name for parameter in found.parameters] == ["x", "by"]
    library._destroy()


def test_what_is_no_torch_operator() -> None:
    assert schema_of("_operator.add") is None
    assert schema_of("aten.no_such.default") is None
    assert schema_of("bridge_never.op.default") is None


def _bump(x: torch.Tensor) -> None:
    x.add_(1)


class Bumped(torch.nn.Module):
    """Calls an operator that writes, and is registered by the test."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x @ x
        torch.ops.bridge_bump.bump(y)
        return y.relu()


def test_one_that_writes_leaves_the_rest_of_the_program_as_it_is() -> None:
    library = torch.library.Library("bridge_bump", "DEF")
    library.define("bump(Tensor(a!) x) -> ()")
    library.impl("bump", _bump, "CPU")
    library.impl("bump", lambda x: None, "Meta")
    x = torch.arange(4.0).reshape(2, 2) - 2
    lowered = bridge.lower(Bumped(), (x,))
    assert lowered.not_functional == ""
    assert lowered.placement["bump"] == (
        "aten: no rule, and an operator outside ATen that writes is not decomposed"
    )
    assert torch.equal(lowered.compile("aten")(x), (x @ x + 1).relu())
    library._destroy()
