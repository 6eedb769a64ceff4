"""Sizes 0 and 1 of a dynamic dimension: allowed, refused and answered as `ExportedProgram.module()` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.export import Dim

import bridge
from tests.bridge.calls import Call

F = torch.nn.functional
WEIGHT = torch.linspace(-1, 1, 24).reshape(4, 6)
QUERY = torch.linspace(-1, 1, 12).reshape(1, 1, 2, 6)


def rows(n: int) -> torch.Tensor:
    return torch.linspace(-2, 3, n * 6).reshape(n, 6)


# Functions of an `[n, 6]` tensor.
FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "linear": lambda x: F.linear(x, WEIGHT).relu(),
    "matmul of itself": lambda x: x @ x.T,
    "softmax of rows": lambda x: x.softmax(0),
    "sum, mean": lambda x: (x.sum(0), x.mean(0), x.mean()),
    "variance": lambda x: (x.var(0), x.std(1), x.var(0, correction=0)),
    "maximum of rows": lambda x: x.amax(0),
    "maximum with indices": lambda x: x.max(0),
    "minimum of all": lambda x: x.min(),
    "argmax": lambda x: (x.argmax(0), x.argmax(1)),
    "product, any, all": lambda x: (x.prod(0), (x > 0).any(0), (x > 0).all(0)),
    "norm": lambda x: (x.norm(dim=0), torch.linalg.vector_norm(x, float("inf"), 1)),
    "logsumexp": lambda x: x.logsumexp(0),
    "cumulative": lambda x: (x.cumsum(0), x.cummax(0)),
    "sort": lambda x: (x.sort(0), x.argsort(0)),
    "topk of columns": lambda x: x.topk(2, 1),
    "median": lambda x: x.median(0),
    "squeeze": lambda x: x.squeeze(0) * 2,
    "squeeze of all": lambda x: x.unsqueeze(2).squeeze() + 1,
    "squeeze of several": lambda x: x[None].squeeze((0, 1)),
    "two rows": lambda x: x[:2] * 3,
    "all but one row": lambda x: x[1:] + 1,
    "half": lambda x: x[: x.shape[0] // 2].sum(0),
    "last rows": lambda x: x[-2:].mean(0),
    "narrow and cat": lambda x: torch.cat([x.narrow(0, 0, x.shape[0] - 1), x], 0),
    "cat with one": lambda x: torch.cat([torch.zeros(1, 6), x]),
    "stack": lambda x: torch.stack([x, x + 1]).flatten(0, 1),
    "split": lambda x: x.split(2, 1),
    "reshape": lambda x: x.reshape(-1, 2) * 2,
    "reshape to batches": lambda x: x.reshape(x.shape[0], 2, 3).transpose(1, 2).flatten(1),
    "view of the transpose": lambda x: x.t().contiguous().view(-1) + 1,
    "expand": lambda x: x[:1].expand(x.shape[0], 6) + x,
    "broadcast": lambda x: x[:, None, :] - x[None, :, :],
    "factories": lambda x: (torch.arange(x.shape[0]), torch.zeros(x.shape[0], 2), torch.ones_like(x)),
    "triangle": lambda x: torch.tril(x @ x.T),
    "eye": lambda x: torch.eye(x.shape[0]) * 2,
    "where": lambda x: torch.where(x > 0, x, x.mean(0, keepdim=True)),
    "index of the first": lambda x: x[0],
    "index of the last": lambda x: x[-1] * 2,
    "gather": lambda x: x[torch.arange(x.shape[0] - 1, -1, -1)],
    "flip, roll": lambda x: (x.flip(0), x.roll(1, 0)),
    "pad": lambda x: F.pad(x, (1, 1, 2, 0)),
    "reflect": lambda x: F.pad(x.T[None], (1, 0), mode="reflect"),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "layer norm": lambda x: F.layer_norm(x, (6,)),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(6), torch.ones(6)),
    "convolution": lambda x: F.conv1d(x[:, None], torch.ones(2, 1, 3)),
    "convolution along": lambda x: F.conv1d(x.T[None], torch.ones(2, 6, 2)),
    "adaptive pooling": lambda x: F.adaptive_avg_pool1d(x.T[None], 2),
    "resize": lambda x: F.interpolate(x.T[None], scale_factor=2.0),
    "attention": lambda x: F.scaled_dot_product_attention(QUERY, x[None, None], x[None, None]),
    "causal attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    "growing cache": lambda x: F.scaled_dot_product_attention(
        QUERY, torch.cat([x[None, None], QUERY], 2), torch.cat([x[None, None], QUERY], 2)
    ),
    "loss": lambda x: F.cross_entropy(x, torch.zeros(x.shape[0], dtype=torch.long)),
    "einsum": lambda x: torch.einsum("ni,oi->no", x, WEIGHT),
    "cdist": lambda x: torch.cdist(x, x),
    "size as a number": lambda x: x * x.shape[0] + max(x.shape[0], 1),
    "written": lambda x: x.clone().add_(1).t().contiguous().mul_(2),
}


def outcome(call: Callable[[], Any]) -> Any:
    try:
        with torch.no_grad():
            return call()
    except Exception as error:
        return error


def check(name: str, function: Callable[..., Any], engine: str, sizes: tuple[int, ...]) -> None:
    exported = torch.export.export(Call(function), (rows(5),), dynamic_shapes={"tensors": ({0: Dim.AUTO},)})
    assert exported.range_constraints, f"{name}: the size is static"
    compiled = bridge.lower(exported).compile(engine)
    eager = exported.module()
    for size in sizes:
        want, got = (outcome(lambda f=f, n=size: f(rows(n))) for f in (eager, compiled))
        refused = f"{name} at {size}: eager gives {want!r:.150}, here {got!r:.300}"
        assert isinstance(got, Exception) == isinstance(want, Exception), refused
        if not isinstance(want, Exception):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5, equal_nan=True, msg=refused)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_small_sizes_are_eagers(name: str) -> None:
    for engine in ("aten", "xla"):
        check(name, FUNCTIONS[name], engine, (0, 1, 2, 3))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["linear", "squeeze", "growing cache"])
def test_small_sizes_on_iree(name: str) -> None:
    check(name, FUNCTIONS[name], "iree", (0, 1, 3))


def test_what_stays_on_the_engine_and_what_goes() -> None:
    """A batch of one is compiled; a squeezed axis, which is no axis of one row, runs on ATen and is told."""
    for name, reason in {"linear": "", "squeeze": "has sizes [6], the program says [1, 6]"}.items():
        shapes = {"tensors": ({0: Dim.AUTO},)}
        lowered = bridge.lower(Call(FUNCTIONS[name]), (rows(5),), dynamic_shapes=shapes)
        compiled = lowered.compile("xla")
        for _ in range(2):
            compiled(rows(1))
        told = [fallback.reason for fallback in compiled.report.fallbacks]
        assert len(told) == bool(reason)
        assert all(reason in text for text in told)


BOUNDS = {
    "no hint": (Dim.AUTO, None),
    "two": (Dim("n", min=2, max=8), None),
    "one": (Dim("n", min=1, max=8), None),
    "three": (Dim("n", min=3, max=8), None),
    "twice": (Dim("n", min=2, max=8), lambda n: 2 * n),
    "one more": (Dim("n", min=1, max=8), lambda n: n + 1),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_those_that_torch_checks(name: str) -> None:
    """Every pair of sizes of two inputs, of which the second may be derived from the first."""
    dim, derive = BOUNDS[name]
    derived = 1 if derive is None else derive(dim)
    second = derive(4) if derive else 1
    shapes = ({0: dim}, {0: derived} if derive else None)
    exported = torch.export.export(
        Two(lambda x, y: (x.sum(), y.sum())), (rows(4), rows(second)), dynamic_shapes=shapes
    )
    eager, compiled = exported.module(), bridge.lower(exported).compile("aten")
    for size in range(10):
        for other in {second, derive(size), size} if derive else {second}:
            want, got = (outcome(lambda f=f, n=size, m=other: f(rows(n), rows(m))) for f in (eager, compiled))
            assert isinstance(got, Exception) == isinstance(want, Exception), (size, other, want, got)


class Two(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.function(x, y)
