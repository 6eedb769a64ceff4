"""Wherever a program is cut, it does what eager does: results, buffers, inputs, random numbers.

Small exported programs; hypothesis draws which nodes ATen is to run, the partitioner cuts, XLA and ATen run
the segments in two calls, and a copy of the module makes the same calls.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge.lowered import Lowered
from lowering.ir.plan import Placement
from lowering.passes import partition as partitioning
from lowering.passes.partition import partition

Body = Callable[..., Any]


class Module(torch.nn.Module):
    """A function of itself and its inputs, with a weight, two buffers and a constant to use."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(4, 4, generator=generator))
        self.register_buffer("state", torch.zeros(4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.mask = torch.tensor([True, False, True, True])
        self.body = body

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.body(self, *inputs)


@dataclass(frozen=True)
class Case:
    """A program and how it is called: the inputs' sizes per call, of which the first is exported.

    `dynamic`: axis 0 of every input may have any size.
    """

    body: Body
    calls: tuple[tuple[tuple[int, ...], ...], ...] = (((3, 4), (3, 4)),) * 2
    dynamic: bool = False

    def inputs(self, call: int) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(call + 1)
        return tuple(torch.randn(sizes, generator=generator) for sizes in self.calls[call])


CASES: dict[str, Case] = {}


def case(**options: Any) -> Callable[[Body], Body]:
    def register(body: Body) -> Body:
        CASES[body.__name__] = Case(body, **options)
        return body

    return register


@case()
def elementwise(m: Module, x: Any, y: Any) -> Any:
    z = (x * 2 + y).tanh() - torch.where(y > 0, x, y.exp())
    return z.abs().sqrt(), (x > y) & (z != 0), -z


@case()
def products(m: Module, x: Any, y: Any) -> Any:
    hidden = torch.nn.functional.gelu(torch.nn.functional.linear(x, m.weight, m.state))
    return torch.nn.functional.layer_norm(hidden @ m.weight + y, (4,)).softmax(-1)


@case()
def views(m: Module, x: Any, y: Any) -> Any:
    left, right = torch.cat([x.t(), y.t()], 1).reshape(2, 12).unbind(0)
    pieces = (left * right).reshape(4, 3).chunk(2)
    return pieces[1].flip(0), torch.stack(pieces).transpose(0, 2)[..., 1:], x.t(), left[::3]


@case()
def buffers(m: Module, x: Any, y: Any) -> Any:
    m.count.add_(1)
    m.state.mul_(0.5).add_(x.mean(0))
    before = m.state.clone()
    m.state[1:3] = y[0, 1:3] * m.count
    return before, m.state + 1, m.count


@case()
def written_inputs(m: Module, x: Any, y: Any) -> Any:
    x.add_(y)
    y[1].mul_(x.sum())
    x.t()[2].copy_(y[:, 0].sigmoid())
    return x * 1, y.relu()


@case()
def reductions(m: Module, x: Any, y: Any) -> Any:
    top, place = x.max(1)
    return top.sum(), place + 1, y.argmin(), x.var(0), torch.cumsum(y, 1), (x > y).any(1), x.amax((0, 1))


@case()
def indices(m: Module, x: Any, y: Any) -> Any:
    order = y.argsort(1)
    picked = x.gather(1, order)[:, order[0]]
    return picked.masked_fill(m.mask, -1.0), picked.index_select(0, order[1, :2] % 3), x[order[:, 0] % 3]


@case()
def passed_through(m: Module, x: Any, y: Any) -> Any:
    z = x + y
    return x, z, m.weight, [z, {"a": z.t(), "b": 3}], m.mask, None, y.detach()


@case()
def integers(m: Module, x: Any, y: Any) -> Any:
    i, j = (x * 10).to(torch.int64), (y * 10).to(torch.int32)
    return (
        i // 3 + j,
        (i ^ 5) & 7,
        i.remainder(4) == 0,
        (i + j).to(torch.uint8),
        i.bitwise_not().float().floor(),
    )


@case()
def branches(m: Module, x: Any, y: Any) -> Any:
    def yes(x: Any, y: Any) -> Any:
        return x * 2, y + 1

    def no(x: Any, y: Any) -> Any:
        return x.neg(), (y * y).exp()

    a, b = torch.cond(x.sum() > y.sum(), yes, no, (x, y))
    return a + b, a.sin()


@case()
def halves(m: Module, x: Any, y: Any) -> Any:
    a, b = x.half(), y.bfloat16()
    return (a * 60000) * 1e-8, (b + 1).relu(), (a + b).sum(0), a.double() / 3


@case()
def random_numbers(m: Module, x: Any, y: Any) -> Any:
    a = torch.dropout(x * 2, 0.5, True)
    b = torch.dropout(y.exp() + 1, 0.5, True)
    return a + b, torch.rand_like(a) * 2, a.neg().abs()


@case(calls=(((3, 4), (3, 4)), ((5, 4), (5, 4)), ((6, 4), (6, 4))), dynamic=True)
def any_size(m: Module, x: Any, y: Any) -> Any:
    rows = x.shape[0]
    m.count.add_(rows)
    z = torch.cat([x, y]).reshape(2, rows, 4).sum(0) / rows
    return z.softmax(0), rows, z[1:] * 2, torch.arange(rows) + m.count


@cache
def lowered(name: str) -> Lowered:
    found = CASES[name]
    inputs = found.inputs(0)
    dynamic = (tuple({0: torch.export.Dim.AUTO} for _ in inputs),) if found.dynamic else None
    return bridge.lower(torch.export.export(Module(found.body), inputs, dynamic_shapes=dynamic))


def outcomes(callable_: Callable[..., Any], state: Callable[[], dict[str, Any]], name: str) -> list[Any]:
    """Per call: what came back, the inputs after it, the buffers after it."""
    found: list[Any] = []
    torch.manual_seed(7)
    for call in range(len(CASES[name].calls)):
        inputs = CASES[name].inputs(call)
        with torch.no_grad():
            result = callable_(*inputs)
        found.append(copy.deepcopy((result, inputs, state())))
    return found


@cache
def eager(name: str) -> list[Any]:
    module = Module(CASES[name].body)
    return outcomes(module, lambda: dict(module.named_buffers()), name)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 2**40), st.sampled_from([1, 1, 2, 3]))
def test_wherever_it_is_cut_it_does_what_eager_does(name: str, drawn: int, least: int) -> None:
    whole = lowered(name)
    assert not whole.not_functional
    names = [node.name for node in whole.functional.graph.nodes]
    moved = {node: "drawn" for place, node in enumerate(names) if drawn >> place & 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitioning, "MIN_NODES", least)
        plan = partition(whole.functional, {**whole.plan.reasons, **moved})
    compiled = replace(whole, plan=plan, modules={}).compile("xla")
    assert compiled.report.plan == plan, "XLA refused something"

    def buffers() -> dict[str, Any]:
        return {key: torch.as_tensor(value) for key, value in compiled.buffers.items()}

    for call, (got, want) in enumerate(zip(outcomes(compiled, buffers, name), eager(name), strict=True)):
        kept = {key: value for key, value in want[2].items() if key in got[2]}
        torch.testing.assert_close(
            got, (*want[:2], kept), equal_nan=True, msg=lambda text, call=call: f"call {call}: {text}\n{plan}"
        )
        unchanged = want[2].keys() - kept.keys()
        assert all(torch.equal(want[2][key], Module(CASES[name].body).get_buffer(key)) for key in unchanged)


def test_the_programs_are_cut_at_all() -> None:
    """The property above says nothing unless programs lower, and cuts give several segments."""
    for name in CASES:
        whole = lowered(name)
        on_aten = [n for s in whole.plan.segments if s.placement is Placement.ATEN for n in s.nodes]
        assert bool(on_aten) == (name == "random_numbers"), name
    nodes = [node.name for node in lowered("elementwise").functional.graph.nodes]
    assert len(partition(lowered("elementwise").functional, {nodes[3]: "drawn"}).segments) >= 2
