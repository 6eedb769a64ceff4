"""Higher-order operators that hop_db does not have, or not in these ways, judged like a database's cases."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch._higher_order_ops import associative_scan, invoke_quant_packed, scan, while_loop
from torch._higher_order_ops.hints_wrap import hints_wrapper
from torch._higher_order_ops.out_dtype import out_dtype
from torch._higher_order_ops.strict_mode import strict_mode
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from bridge.lowered import lower_program
from lowering.frontend.exported_program import from_exported_program
from lowering.targets.errors import ExecutionError
from tests.databases import hops
from tests.databases.judge import Arguments, Case, judge
from tests.opdb.cases import Row, Word

_LOWERED, _MIXED = Word.LOWERED.value, Word.MIXED.value


class Body(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


class TwoLayers(torch.nn.Module):
    """A branch each, and a buffer that counts the calls."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(1)
        return torch.cond(x.sum() > 0, lambda x: self.a(x), lambda x: self.b(x).relu(), (x,)) + self.count


class WithoutGrad(torch.nn.Module):
    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            self.total.add_(x.sum(0))
            row = self.total[0] * 2
        with torch.enable_grad():
            return row + x, x.sin()


class Biased(torch.nn.Module):
    """Attention whose scores a buffer is added to."""

    bias: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bias", torch.linspace(-1, 1, 16))

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        return flex_attention(q, k, v, lambda score, batch, head, row, column: score + self.bias[column])


@dataclass
class Sample:
    body: torch.nn.Module | Callable[..., Any]
    calls: list[tuple[torch.Tensor, ...]]
    word: str = _LOWERED
    dynamic: Any = None


def _batch(low: int) -> Any:
    return (({0: torch.export.Dim("b", min=low, max=8)},),)


def _normal(*sizes: int) -> torch.Tensor:
    return torch.testing.make_tensor(sizes, dtype=torch.float32, device="cpu")


torch.manual_seed(0)
_UP = torch.tensor([1.0, 2.0])
_BOTH = [(_UP,), (-_UP,)]
_CAUSAL = create_block_mask(lambda b, h, row, column: row >= column, 1, 1, 16, 16, device="cpu")
_SIZES = [(_normal(5, 2),), (_normal(2, 2),), (_normal(8, 2),)]


def _autocast(x: torch.Tensor, w: torch.Tensor) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = x @ w
        with torch.autocast("cpu", enabled=False):
            z = y.float() @ w
        flat = y.view(-1)
    flat.add_(1)
    return y, z, flat


def _mask(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    rows = torch.vmap(lambda a, b: (a >= b) & (a - b < 3), in_dims=(None, 0))
    return torch.vmap(rows, in_dims=(0, None))(q, k)


def _written(x: torch.Tensor) -> torch.Tensor:
    torch.vmap(lambda row: row.add_(1))(x)
    return x * 2


SAMPLES = {
    "cond, closures and pytrees": Sample(
        lambda x: torch.cond(x.sum() > 0, lambda x: {"a": [x * x]}, lambda x: {"a": [x + 1]}, (x,)), _BOTH
    ),
    "cond, writes inside": Sample(
        lambda x: torch.cond(x.sum() > 0, lambda x: x.sin().add_(1), lambda x: x.clone().mul_(2), (x,)), _BOTH
    ),
    "cond, without operands": Sample(
        lambda x: torch.cond(x.sum() > 0, lambda: torch.ones(2), lambda: torch.zeros(2)), _BOTH
    ),
    "cond, modules and a buffer": Sample(TwoLayers(), [(_normal(3, 2),) for _ in range(4)]),
    "cond, sizes of the data": Sample(
        lambda x: torch.cond(x.sum() > 0, lambda x: x[:1].clone(), lambda x: x.clone(), (x,)), _BOTH, _MIXED
    ),
    "cond, random numbers": Sample(
        lambda x: torch.cond(x.sum() > 0, lambda x: torch.dropout(x, 0.5, True), lambda x: x * 2, (x,)),
        _BOTH,
        _MIXED,
    ),
    "while, on the data": Sample(
        lambda x: while_loop(lambda x: x.sum() < 100, lambda x: (x * 2,), (x,)),
        [(_UP,), (_UP * 7,), (_UP * 60,)],
    ),
    "scan, reversed": Sample(
        lambda c, x: scan(lambda c, x: (c + x, c * x), c, x, dim=1, reverse=True),
        [(_normal(2), _normal(2, 4))],
    ),
    "associative_scan": Sample(
        lambda x: associative_scan(lambda a, b: a + b, x, 0, combine_mode="generic"), [(_normal(5, 3),)]
    ),
    "associative_scan, reversed": Sample(
        lambda x: associative_scan(lambda a, b: a * b, x, 1, reverse=True, combine_mode="generic"),
        [(_normal(5, 3),)],
    ),
    "associative_scan, of a tree": Sample(
        lambda x, y: associative_scan(
            lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (x, y), 0, combine_mode="generic"
        ),
        [(_normal(7, 3), _normal(7, 3))],
    ),
    "vmap, a loop": Sample(
        lambda x, y: torch.vmap(lambda a, b: a.sum() * b, in_dims=(0, None))(x, y),
        [(_normal(4, 3), _normal(2))],
    ),
    "vmap, other axes": Sample(
        lambda x, y: torch.vmap(lambda a, b: a.sum() * b, in_dims=(1, -1))(x, y),
        [(_normal(2, 4), _normal(3, 4))],
    ),
    "vmap, nested": Sample(_mask, [(torch.arange(4), torch.arange(5))]),
    "vmap, a result without rows": Sample(
        lambda x: torch.vmap(lambda a: (a, torch.ones(2)))(x), [(_normal(4),)]
    ),
    "vmap, promotion of scalars": Sample(
        lambda x, y: torch.vmap(lambda a: a * y)(x), [(_normal(4).double(), _normal(3))]
    ),
    "vmap, dynamic": Sample(lambda x: torch.vmap(lambda a: a.cumsum(0))(x), _SIZES, _LOWERED, _batch(2)),
    "vmap, no rows": Sample(lambda x: torch.vmap(lambda a: a.cumsum(0))(x), [(torch.ones(0, 3),)]),
    "vmap, writes": Sample(_written, [(_normal(4, 3),)], _MIXED),
    "no_grad": Sample(WithoutGrad(), [(_normal(3, 2),) for _ in range(3)]),
    "autocast": Sample(_autocast, [(_normal(3, 3), _normal(3, 3))], _LOWERED),
    "flex_attention, a bias": Sample(Biased(), [tuple(_normal(1, 2, 16, 8) for _ in range(3))]),
    "flex_attention, a mask": Sample(
        lambda q, k: flex_attention(q, k[:, :1], k[:, :1], block_mask=_CAUSAL, enable_gqa=True),
        [(_normal(1, 2, 16, 8), _normal(1, 2, 16, 8))],
    ),
    "checkpoint": Sample(lambda x: checkpoint(torch.sin, x, use_reentrant=False), [(_UP,)]),
    "hints_wrapper": Sample(
        lambda x: hints_wrapper(lambda x: x.sin() + 1, (x,), {}, hints={"a": 1}), [(_UP,)]
    ),
    "strict_mode": Sample(lambda x: strict_mode(lambda x: x.sin() + 1, (x,)), [(_UP,)]),
    "invoke_quant_packed": Sample(lambda x: invoke_quant_packed(lambda x: (x.sin(),), x)[0] * 2, [(_UP,)]),
    "out_dtype": Sample(
        lambda x: out_dtype(torch.ops.aten.mm.default, torch.int32, x, x),
        [(torch.full((2, 2), 100, dtype=torch.int8),)],
        _MIXED,
    ),
}


def _judged(name: str, engine: str) -> Row:
    sample = SAMPLES[name]
    body = sample.body if isinstance(sample.body, torch.nn.Module) else Body(sample.body)
    calls = tuple(Arguments(args, {}) for args in (*sample.calls, sample.calls[0]))
    return judge(Case(name, lambda: copy.deepcopy(body), calls[0], calls, sample.dynamic), engine)


@pytest.mark.parametrize("name", SAMPLES)
def test_equals_eager_on_xla(name: str) -> None:
    row = _judged(name, "xla")
    assert row.word == SAMPLES[name].word, (row.word, row.reason, row.aten)


@pytest.mark.parametrize("name", SAMPLES)
def test_equals_eager_on_aten(name: str) -> None:
    row = _judged(name, "aten")
    assert row.word in (_LOWERED, _MIXED), row.reason


@pytest.mark.parametrize("name", hops.names())
def test_hop_db(name: str) -> None:
    for case in hops.cases(name):
        row = judge(case, "xla")
        assert row.word in (_LOWERED, _MIXED) or name in UNEXPORTABLE, (row.word, row.reason)
        if name in UNEXPORTABLE:
            assert row.word == Word.NOT_EXPORTABLE.value
            assert UNEXPORTABLE[name] in row.reason


# Entries of hop_db that torch.export does not take, or whose program torch itself cannot run or write down.
UNEXPORTABLE = {
    "flex_attention_backward.explicit_buffers": "object is not callable",
    "flex_attention_backward.simple": "object is not callable",
    "inline_asm_elementwise.simple": "only supports CUDA tensors",
    "invoke_quant.simple": "is missing val field",
    "local_map_hop.simple": "is not an allowed operator type",
    "register_hook.simple": "cannot register a hook",
}


@torch.library.custom_op("databases::increment", mutates_args=("x",))
def increment(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x + by


@increment.register_fake
def _(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_custom_operators_that_write_after_decomposition(engine: str) -> None:
    """`run_decompositions` turns them into `auto_functionalized_v2`."""

    def function(x: torch.Tensor) -> Any:
        y = x * 2
        return y, torch.ops.databases.increment(y[0], x)

    x = _normal(3, 2)
    exported = torch.export.export(Body(function), (x,)).run_decompositions()
    assert "auto_functionalized_v2" in str(exported.graph)
    got = lower_program(*from_exported_program(exported)).compile(engine)(x)
    torch.testing.assert_close(got, function(x))


def test_an_unsupported_operator_is_named_before_anything_runs() -> None:
    exported = torch.export.export(Body(lambda x: strict_mode(lambda x: x.sin(), (x,))), (_UP,))
    program, weights = from_exported_program(exported)
    nodes = tuple(replace(node, target="higher_order.unheard_of") for node in program.graph.nodes)
    unknown = replace(program, graph=replace(program.graph, nodes=nodes))
    with pytest.raises(ExecutionError, match=r"higher_order\.unheard_of"):
        lower_program(unknown, weights).compile("xla")
