"""Checks inside lowered control flow: the branch taken and every step of a loop raise as eager does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop

import bridge
from lowering.ir.module import CheckKind
from lowering.targets.errors import ExecutionError
from tests.bridge.calls import Call

T = torch.tensor
ZERO = T(0)


def branches(p: torch.Tensor, x: torch.Tensor, i: torch.Tensor) -> Any:
    return torch.cond(p, lambda x, i: x[i] * 2, lambda x, i: x[i + 1] + 1, (x, i))


def loop(n: torch.Tensor, x: torch.Tensor) -> Any:
    def step(i: torch.Tensor, total: torch.Tensor) -> Any:
        return i + 1, total + torch.take(x, i)

    return while_loop(lambda i, total: i < n, step, (torch.zeros((), dtype=torch.long), torch.zeros(())))


def until_zero(x: torch.Tensor, i: torch.Tensor) -> Any:
    """Reads in the condition. Clamped to the last number, it would never end."""
    return while_loop(
        lambda i, n: torch.take(x, i) > 0, lambda i, n: (i + 1, n + 1), (i, torch.zeros((), dtype=torch.long))
    )


def nested(n: torch.Tensor, x: torch.Tensor, i: torch.Tensor) -> Any:
    def step(k: torch.Tensor, total: torch.Tensor) -> Any:
        value = torch.cond(
            k > 1, lambda k, x, i: torch.take(x, k * i), lambda k, x, i: torch.take(x, k) * 2, (k, x, i)
        )
        return k + 1, total + value

    return while_loop(lambda k, total: k < n, step, (torch.zeros((), dtype=torch.long), torch.zeros(())))


def asserted(n: torch.Tensor) -> Any:
    """Without its assertion the loop would not end."""
    torch.ops.aten._assert_async.msg(n > 0, "n must be positive")
    return while_loop(lambda i: i != n, lambda i: (i + 1,), (torch.zeros((), dtype=torch.long),))


def asserted_inside(x: torch.Tensor, n: torch.Tensor) -> Any:
    def step(i: torch.Tensor, x: torch.Tensor) -> Any:
        torch.ops.aten._assert_async.msg(x.sum() < 100, "it explodes")
        return i + 1, x * 2

    return while_loop(lambda i, x: i < n, step, (torch.zeros((), dtype=torch.long), x))


X = torch.arange(5.0) + 1
INDEX = r"index, aten\.index.* out of bounds"
TAKE = r"take, aten\.take.* out of (bounds|range)"
# Good inputs, bad ones, the kind, and which node says what.
CASES: dict[str, tuple[Any, ...]] = {
    "one branch": (
        branches,
        (T(True), X, T([1, 4])),
        (T(True), X, T([5])),
        "index",
        INDEX,
    ),
    "the other": (
        branches,
        (T(False), X, T([1, 3])),
        (T(False), X, T([1, 4])),
        "index",
        INDEX,
    ),
    "loop": (loop, (T(5), X), (T(6), X), "index", TAKE),
    "condition": (
        until_zero,
        (T([1.0, 1.0, 0.0]), ZERO),
        (torch.ones(3), ZERO),
        "index",
        TAKE,
    ),
    "first condition": (
        until_zero,
        (T([1.0, 1.0, 0.0]), ZERO),
        (torch.ones(3), T(9)),
        "index",
        TAKE,
    ),
    "nested": (
        nested,
        (T(4), X, T(1)),
        (T(4), X, T(3)),
        "index",
        TAKE,
    ),
    "before a loop": (asserted, (T(3),), (T(-3),), "assertion", r"_assert_async, .*n must be positive"),
    "in a loop": (asserted_inside, (X, T(3)), (X, T(9)), "assertion", r"_assert_async, .*it explodes"),
}
ERRORS = {"index": IndexError, "assertion": RuntimeError}


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
@pytest.mark.parametrize("case", CASES)
def test_a_check_in_a_region_raises(case: str, engine: str) -> None:
    fn, good, bad, kind, says = CASES[case]
    lowered = bridge.lower(Call(fn), good)
    assert all(place == "stablehlo" for place in lowered.placement.values()), lowered.placement
    assert {check.kind for check in lowered.module(0).checks} == {CheckKind(kind)}
    bad = _fit(bad, good)
    compiled = lowered.compile(engine)
    if engine != "aten":
        assert compiled.report.plan.reasons == {}
    for _ in range(2):
        torch.testing.assert_close(compiled(*good), fn(*good))
        with pytest.raises(ERRORS[kind], match=f"node {says}") as caught:
            compiled(*bad)
        assert isinstance(caught.value, ExecutionError)


def _fit(bad: tuple[torch.Tensor, ...], good: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The bad inputs, repeated to the sizes of the good ones."""
    return tuple(x.expand(like.shape).clone() for x, like in zip(bad, good, strict=True))


def test_regions_without_checks_carry_nothing() -> None:
    def doubled(p: torch.Tensor, x: torch.Tensor) -> Any:
        return torch.cond(p, lambda x: x * 2, lambda x: x * 3, (x,))

    module = bridge.lower(Call(doubled), (T(True), X)).module(0)
    assert module.checks == ()
    assert "i1>)" not in bridge.lower(Call(doubled), (T(True), X)).stablehlo(0).split("stablehlo.case")[-1]


def test_bounds_checks_can_be_left_out_and_assertions_cannot() -> None:
    lowered = bridge.lower(Call(loop), (T(5), X), bounds_checks=False)
    assert lowered.module(0).checks == ()
    assert lowered.compile("xla")(T(7), X)[1] == 15 + 5 + 5  # the last one again
    lowered = bridge.lower(Call(asserted), (T(3),), bounds_checks=False)
    assert [check.kind for check in lowered.module(0).checks] == [CheckKind.ASSERTION]
