"""Assertions of the program raise what eager raises, with their own message, in StableHLO and on ATen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import bridge
from lowering.targets.errors import ExecutionError


class Call(torch.nn.Module):
    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.fn(*tensors)


def asynchronous(x: torch.Tensor) -> torch.Tensor:
    torch.ops.aten._assert_async.msg(x.sum() > 0, "the sum is positive")
    return x.sin().exp() * 2


def without_message(x: torch.Tensor) -> torch.Tensor:
    torch.ops.aten._assert_async.default(x.sum() > 0)
    return x.sin().exp() * 2


def functional(x: torch.Tensor) -> torch.Tensor:
    token = torch.ops.aten._make_dep_token()
    torch.ops.aten._functional_assert_async.msg(x.sum() > 0, "the sum is positive", token)
    return x.sin().exp() * 2


def of_a_number(x: torch.Tensor) -> torch.Tensor:
    count: Any = x.sum().int().item()
    torch._check(count >= 2, lambda: "two at least")
    return x.sin() * count


def in_a_range(x: torch.Tensor) -> torch.Tensor:
    count: Any = x.sum().int().item()
    torch.ops.aten.sym_constrain_range.default(count, min=2, max=30)
    return x.sin() * count


def of_a_size(x: torch.Tensor) -> torch.Tensor:
    count: Any = x.sum().int().item()
    torch.ops.aten.sym_constrain_range_for_size.default(count, min=2, max=30)
    torch._check(count >= 0)
    return torch.zeros(count) + x.sum()


X = torch.tensor([4.0, 5.0])
POSITIVE, ONE = "the sum is positive", "Expected Tensor with single nonzero value"
# A part of what eager says, where u0 is the exporter's symbol; of what is said here; whether in StableHLO.
CASES: dict[str, tuple[Any, str, str, bool]] = {
    "_assert_async": (asynchronous, POSITIVE, POSITIVE, True),
    "_assert_async without a message": (without_message, ONE, ONE, True),
    "_functional_assert_async": (functional, POSITIVE, POSITIVE, True),
    "_assert_scalar": (of_a_number, "u0 >= 2", "the program takes item >= 2", True),
    "sym_constrain_range": (in_a_range, "u0 >= 2", "the program takes item >= 2", True),
    "sym_constrain_range_for_size": (of_a_size, "", "item is -9", False),
}


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
@pytest.mark.parametrize("name", CASES)
def test_an_assertion_raises_as_eager_does(name: str, engine: str) -> None:
    fn, eagers, says, in_stablehlo = CASES[name]
    exported = torch.export.export(Call(fn), (X,))
    lowered = bridge.lower(exported)
    if in_stablehlo:
        assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile(engine)
    torch.testing.assert_close(compiled(X), fn(X))
    bad = X * -1
    with pytest.raises(RuntimeError) as eager:
        exported.module()(bad)
    with pytest.raises(RuntimeError) as ours:
        compiled(bad)
    assert isinstance(ours.value, ExecutionError)
    message = str(ours.value)
    assert "test_assertions.py:" in message
    assert eagers in str(eager.value)
    assert says in message
