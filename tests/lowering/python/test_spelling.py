"""Each operator with a spelling of its own exports, as it is spelled, as the very same call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import bridge
from lowering.python import spelling, tables
from tests.lowering.python.reexport import canonical, exported_again

X = torch.ones(2, 3, 4)
MASK = torch.ones(2, 3, 4, dtype=torch.bool)
INDEX = torch.zeros(2, 1, 4, dtype=torch.int64)
ROW = torch.zeros(3, dtype=torch.int64)
PICTURE = torch.ones(1, 4, 8, 8)

CALLS: list[Callable[[], Any]] = [
    lambda x=X: x.abs() + x.cos() - x.sin() * x.exp() / (x.log() ** 2.0),
    lambda x=X: -x.sqrt() + x.rsqrt() * (x.sigmoid() - x.tanh()),
    lambda x=X: 2 - (1.5 - x) * -3.0,
    lambda x=X: (-x) ** 2 + -(x**2),
    lambda x=X: (x - (x - x)) / (x / x) - (x + (x + x)),
    lambda x=X: (x.transpose(1, 2).contiguous() @ x).clone(),
    lambda x=X: (x.argmax(), x.argmax(-1, True), x.cumsum(1).to(torch.int64)),
    lambda x=X: (torch.cat(x.chunk(3, 1), 2), torch.cat([*x.split(2, 2)], -1).flatten(1).unsqueeze(1)),
    lambda x=X: x.expand(2, -1, -1).reshape(6, 4).view(-1, 2).view_as(x.view(12, 2)).permute(1, 0),
    lambda x=X: x.float_power(2.0).type_as(x).repeat(2, 1, 1),
    lambda x=X: (x.gather(1, INDEX).squeeze(1), x[:, :1].squeeze()),
    lambda x=X: (x.masked_fill(MASK, -1.0), x.masked_fill(MASK, x[0, 0, 0])),
    lambda x=X: (x.mean(), x.mean(1), x.mean((0, 2), True).sum(-1), x.sum(), x.sum((0, 1), keepdim=True)),
    lambda x=X: (x.new_ones(2, 3, 4), x.new_zeros([4], dtype=torch.float64)),
    lambda x=X: (x.softmax(-1), x.to("cpu", torch.float64), x.to("cpu"), x.to(torch.float16)),
    lambda x=X: x.view(6, 4).t().unflatten(1, (2, 3)),
    lambda x=X: torch.zeros(2, 3, 4).add_(x).mul_(2).copy_(x),
    lambda x=X: torch.zeros(2, 3, 4).index_copy_(1, ROW[:1], x[:, :1]),
    lambda x=X: (torch.addmm(x[0, 0, :3], x[0], x.view(6, 4)[:3].t()), torch.bmm(x, x.mT)),
    lambda x=X: torch.diff(x, 1, -1),
    lambda x=X: (torch.maximum(x, x), torch.minimum(x, x), torch.max(x, x), torch.min(x, x)),
    lambda x=X: (torch.full_like(x, 2.0), torch.zeros_like(x), torch.ones_like(x, dtype=torch.int32)),
    lambda x=X: torch.stack([x, x], 1),
    lambda x=X: (torch.topk(x, 2, -1)[0], x.topk(2, dim=2, largest=False)[1]),
    lambda x=X: (torch.where(MASK, x, 1.0), torch.where(MASK, 1.0, x), torch.where(MASK, x, x)),
    lambda x=X: torch.where(MASK, 1.0, 2.0),
    lambda x=X: (torch.arange(4), torch.arange(0, 4), torch.arange(0, 8, 2, dtype=torch.float32)),
    lambda x=X: torch.arange(0, 4, 1),
    lambda x=X: (torch.full((2, 3), 1.5), torch.ones(2, 3), torch.zeros([3], dtype=torch.float64)),
    lambda x=X: (x == x) & (x != 1) | (x < x) & (x < 1) | (x <= x) | (x <= 1) & (x == 1) | (x != x),
    lambda x=X: (x > x) & (x > 1) | (x >= x) & (x >= 1),
    lambda x=X: ~(x > 1),
    lambda x=X: (x[:, 1:, :2], x[:, 0].unsqueeze(1)[..., 2:]),
    lambda x=X: (x[ROW[:2]], x[:, ROW], x[:, ROW, ROW]),
    lambda x=X: (F.linear(x, x[0]), F.linear(x, x[0], x[0, :, 0])),
    lambda x=X: (F.embedding(ROW, x[0]), F.embedding(ROW, x[0], 0)),
    lambda x=X: (F.layer_norm(x, (4,)), F.layer_norm(x, [3, 4], x[0], x[1], 1e-3)),
    lambda x=X: (F.batch_norm(x, x[0, :, 0], x[1, :, 0]), F.batch_norm(x, None, None, training=True)),
    lambda x=X: (F.dropout(x, 0.25, training=False), F.dropout(x, 0.25)),
    lambda x=X: (F.elu(x), F.gelu(x), F.gelu(x, approximate="tanh"), F.selu(x), F.silu(x), F.mish(x)),
    lambda x=X: (F.hardsigmoid(x), F.hardswish(x), F.hardtanh(x, -2, 2), F.leaky_relu(x, 0.2), F.relu(x)),
    lambda x=X: (F.softplus(x), F.pad(x, (1, 0, 0, 0)), F.pad(x, (1, 1), "replicate")),
    lambda x=X: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5, is_causal=True),
    lambda x=X: F.scaled_dot_product_attention(x, x, x, attn_mask=x @ x.mT, scale=0.5),
    lambda x=PICTURE: F.conv2d(x, x[:, :, :3, :3], x[0, :1, 0, 0], 2, (1, 0)),
    lambda x=PICTURE: (
        F.conv1d(x[:, 0], x[:, 0, :, :3]),
        F.conv3d(x.unsqueeze(2), x[:, :, :1, :1].unsqueeze(2)),
    ),
    lambda x=PICTURE: (F.adaptive_avg_pool2d(x, 2), F.adaptive_avg_pool2d(x, (2, 1)), F.avg_pool2d(x, 4)),
    lambda x=PICTURE: (F.max_pool2d(x, 2, 2, 0), F.avg_pool2d(x, 2, ceil_mode=True)),
    lambda x=PICTURE: (F.group_norm(x, 2, x[0, :, 0, 0], x[0, :, 1, 0]), F.group_norm(x, 4, eps=1e-3)),
]
CALLS += [
    lambda x=X: (x.all(), x.all(1), (x > 1).any(), x.any(-1, True), x.argmin(), x.argmin(1)),
    lambda x=X: (x.amax(), x.amax((0, 1)), x.amin(1, True), x.prod(), x.prod(1), x.logsumexp(1)),
    lambda x=X: (x.ceil(), x.floor(), x.round(), x.sign(), x.erf(), x.log1p(), x.reciprocal(), x.square()),
    lambda x=X: (x.clamp(0, 1), x.clamp(max=2.0), x.clamp(min=0), x.clamp_min(0.5), x.clamp_max(1)),
    lambda x=X: ROW.bitwise_and(ROW),
    lambda x=X: (x.flip(0), x.flip(1, 2), x.roll(1, 2), x.roll((1, 2), (0, 1)), x.index_select(1, ROW)),
    lambda x=X: (x.log_softmax(1), x.logical_and(x), x.logical_not(), x.logical_or(x), x.sort(1)[0]),
    lambda x=X: (x.scatter(1, INDEX, x), x.scatter(1, INDEX, 2.0), x.scatter_add(1, INDEX, x)),
    lambda x=X: (
        x.std(1),
        x.std(1, correction=0),
        x.var((0, 2), correction=0),
        x.var(1, keepdim=True),
        x.tril(),
        x.triu(1),
    ),
    lambda x=X: (torch.stack(x.unbind(1)), torch.cat(x.unbind()), torch.empty(3).fill_(2.0)),
    lambda x=X: (torch.baddbmm(x, x[:, :, :3], x), torch.cdist(x, x), torch.cross(x.mT, x.mT, dim=2)),
    lambda x=X: (torch.einsum("bij,bkj->bik", x, x), torch.logaddexp(x, x), torch.outer(x[0, 0], x[0, 0])),
    lambda x=X: (
        torch.rand_like(x),
        torch.randn_like(x),
        torch.rand(2, 3),
        torch.randn(2, dtype=torch.float64),
    ),
    lambda x=X: (torch.eye(3), torch.randint(0, 5, (2,)), torch.randperm(4), F.logsigmoid(x)),
]


class Call(torch.nn.Module):
    def __init__(self, call: Callable[[Any], Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: torch.Tensor) -> Any:
        return self.call(x)


@cache
def program_of(index: int) -> bridge.Program:
    (example,) = CALLS[index].__defaults__  # pyright: ignore
    return bridge.extract(Call(CALLS[index]), (example,))


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_is_the_same_call(index: int) -> None:
    program = program_of(index)
    source = program.to_python("Model")
    assert canonical(exported_again(program, source, "Model", grad=True)) == canonical(program), source
    exact = {node.target for node in program.nodes if f"torch.ops.{node.target}(" in source}
    assert not exact, source


def test_every_spelling_is_seen() -> None:
    seen = {node.target for index in range(len(CALLS)) for node in program_of(index).nodes}
    plain = (tables.INFIX, tables.METHODS, tables.TORCH, tables.FACTORIES, tables.FUNCTIONS)
    spelled = {target for table in (*plain, spelling._SPECIAL) for target in table}
    assert spelled - seen == {"aten.sym_size.int"}  # `Sizes` of the networks has it
