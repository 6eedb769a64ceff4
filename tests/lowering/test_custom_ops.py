"""The schemas of operators outside ATen."""

from __future__ import annotations

import torch

from lowering.custom_ops import schema_of


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
