"""Random programs: straight lines of operators over a few tensors, with writes, branches and symbolic sizes.

A program is decoded from drawn numbers, so that hypothesis can shrink it: a line says which operator, which
values it takes, and a number for it to use. Lines are run as they are decoded, at every size that the program
will be called with; one that fails at any of them is left out, so that every program runs.

Values are multiples of 1/2 of few bits as far as operators allow, on which arithmetic is exact in any order;
what is not exact is remembered as such and decides nothing (no comparison, no index, no rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

ROWS, COLUMNS = 4, 4
#: Sizes of axis 0 in the calls: the first is exported.
SIZES = (4, 6, 2)

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.bool)


@dataclass(frozen=True)
class Op:
    """`call(n, *values)`. `exact`: keeps exactness. `decides`: needs exact values. `writes`: to the first."""

    name: str
    arity: int
    call: Callable[..., Any]
    exact: bool = True
    decides: bool = False
    writes: bool = False


OPS: list[Op] = []


def op(arity: int, **traits: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        OPS.append(Op(call.__name__, arity, call, **traits))
        return call

    return register


def _axis(number: int, value: torch.Tensor) -> int:
    return number % value.dim() if value.dim() else 0


def _wide(value: torch.Tensor) -> torch.Tensor:
    """Numbers that sums and products can be taken of."""
    return value.to(torch.int64) if value.dtype is torch.bool else value


def _float(value: torch.Tensor) -> torch.Tensor:
    return value if value.is_floating_point() else value.to(torch.float32)


# ---- element by element ----


@op(1)
def unary(n: int, a: Any) -> Any:
    a = _wide(a)
    return (a.neg(), a.abs(), a.relu(), a.clamp(-2, 2), a * 2, a + n % 3, a.square().clamp(max=8))[n % 7]


@op(1, exact=False)
def smooth(n: int, a: Any) -> Any:
    a = _float(a)
    functions = (
        torch.tanh,
        torch.sigmoid,
        lambda a: a.clamp(max=3).exp(),
        lambda a: a.abs().sqrt(),
        torch.nn.functional.gelu,
        lambda a: a / 3,
    )
    return functions[n % 6](a)


@op(1, decides=True)
def cast(n: int, a: Any) -> Any:
    return a.to(_DTYPES[n % len(_DTYPES)])


@op(1, decides=True)
def rounded(n: int, a: Any) -> Any:
    a = _wide(a)
    return (a.floor(), a.sign(), a.remainder(3), a.trunc(), torch.isnan(a), a.ceil())[n % 6]


@op(2)
def sums(n: int, a: Any, b: Any) -> Any:
    a, b = _wide(a), _wide(b)
    return (
        a + b,
        a - b,
        torch.maximum(a, b.to(a.dtype)),
        torch.minimum(b, a.to(b.dtype)),
        a.add(b, alpha=2),
    )[n % 5]


@op(2, decides=True)
def product(n: int, a: Any, b: Any) -> Any:
    return (_wide(a) * b).clamp(-8, 8).trunc()


@op(2, decides=True)
def comparison(n: int, a: Any, b: Any) -> Any:
    return (a > b, a == b, a <= b, (a != 0) & (b != 0), ~((a < 0) | (b < 0)))[n % 5]


@op(3, decides=True)
def choice(n: int, a: Any, b: Any, c: Any) -> Any:
    return torch.where(a > 0, b, c) if n % 2 else b.masked_fill(a > b, n % 4)


# ---- over axes ----


@op(1)
def total(n: int, a: Any) -> Any:
    a = _wide(a)
    axis = _axis(n, a)
    return (
        a.sum(axis).clamp(-16, 16),
        a.amax(axis),
        a.amin(axis, keepdim=True),
        a.cumsum(axis).clamp(-16, 16),
        a.sum().clamp(-16, 16),
    )[n % 5]


@op(1, decides=True)
def found(n: int, a: Any) -> Any:
    axis = _axis(n, a)
    if n % 4 == 0:
        return a.sort(axis).values
    if n % 4 == 1:
        return (a != 0).any(axis)
    return a.max(axis).values if n % 4 == 2 else (a > 0).all(axis, keepdim=True)


@op(1, exact=False)
def averages(n: int, a: Any) -> Any:
    a = _float(a)
    axis = _axis(n, a)
    return (a.mean(axis), a.softmax(axis), a.var(axis, correction=0), torch.logsumexp(a, axis))[n % 4]


@op(2)
def matrices(n: int, a: Any, b: Any) -> Any:
    a, b = a.to(torch.float32), b.to(torch.float32)
    if n % 3 == 0:
        return (a @ b).clamp(-16, 16)
    return (a @ b.mT).clamp(-16, 16) if n % 3 == 1 else torch.nn.functional.linear(a, b).clamp(-16, 16)


# ---- views and copies ----


@op(1)
def view(n: int, a: Any) -> Any:
    axis = _axis(n, a)
    return (
        lambda: a.transpose(0, -1),
        lambda: a.select(axis, n % 2),
        lambda: a.narrow(axis, 1, 1),
        lambda: a[..., ::2],
        lambda: a[1:],
        lambda: a.unsqueeze(axis),
        lambda: a.reshape(-1),
        lambda: a.reshape(2, -1),
        lambda: a.expand(2, *a.shape),
        lambda: a.diagonal(),
        lambda: a.chunk(2, axis)[n % 2],
        lambda: a.flatten(),
        lambda: a.movedim(0, -1),
        lambda: a.unbind(-1)[n % 2],
        lambda: a[:, 1:3],
        lambda: a.detach(),
        lambda: a.view(-1),
    )[n % 17]()


@op(1)
def copied(n: int, a: Any) -> Any:
    return (a.clone(), a.contiguous(), a.flip(0), a.roll(1, -1), a.repeat(2, *[1] * (a.dim() - 1)))[n % 5]


@op(2)
def joined(n: int, a: Any, b: Any) -> Any:
    return torch.cat([a, b], n % 2) if n % 3 else torch.stack([a, b], n % 2)


@op(2, decides=True)
def picked(n: int, a: Any, b: Any) -> Any:
    index = b.to(torch.int64).abs().remainder(2).reshape(-1)
    if n % 3 == 0:
        return a[index]
    if n % 3 == 1:
        return a.index_select(-1, index)
    return a.gather(-1, b.to(torch.int64).abs().remainder(2))


@op(1)
def made(n: int, a: Any) -> Any:
    rows = a.shape[0]
    return (
        lambda: torch.arange(rows),
        lambda: torch.zeros_like(a),
        lambda: a.new_full((rows, 2), n % 3),
        lambda: _wide(a) + rows,
        lambda: torch.ones(rows + 1, 2).sum(0),
        lambda: a.new_empty(rows * 2).fill_(1),
    )[n % 6]()


@op(2, decides=True)
def branch(n: int, a: Any, b: Any) -> Any:
    def yes(a: Any, b: Any) -> Any:
        return a + b, a * 2

    def no(a: Any, b: Any) -> Any:
        return (b - a).abs(), b.neg()

    a, b = a.to(torch.float32), b.to(torch.float32)
    first, second = torch.cond((a > n % 3).any(), yes, no, (a, b))
    return first + second


# ---- writes ----


@op(2, writes=True)
def written(n: int, a: Any, b: Any) -> Any:
    (
        lambda: a.add_(b),
        lambda: a.copy_(b),
        lambda: a.sub_(b.sum().clamp(-4, 4)),
        lambda: a.__setitem__(0, b),
        lambda: a.__setitem__((..., slice(1, 3)), b),
        lambda: a.select(-1, 0).copy_(b),
        lambda: a.mul_(b).clamp_(-8, 8),
    )[n % 7]()


@op(1, writes=True)
def changed(n: int, a: Any) -> Any:
    (
        lambda: a.fill_(n % 3),
        lambda: a.zero_(),
        lambda: a.clamp_(-1, 2),
        lambda: a.neg_(),
        lambda: a.t().add_(1),
        lambda: a[1:].mul_(2).clamp_(-8, 8),
        lambda: a.relu_(),
    )[n % 7]()


@op(3, writes=True, decides=True)
def put(n: int, a: Any, b: Any, c: Any) -> Any:
    index = torch.tensor([1, 0])
    (
        lambda: a.masked_fill_(b > 0, n % 3),
        lambda: a.index_put_((index,), c, accumulate=False),
        lambda: a.index_add_(0, index, c),
        lambda: a.index_copy_(0, index, c),
        lambda: a.scatter_(-1, b.to(torch.int64).abs().remainder(1), n % 3),
        lambda: a.__setitem__(b > 0, n % 3),
    )[n % 6]()


# ------------------------------------------------------------------------------------------------- programs

Line = tuple[int, int, int, int, int]

# The weight and the mask, among the values that a program starts with.
_FIRST_CONSTANT = 6


class Program(torch.nn.Module):
    """Lines over inputs, buffers, a weight and a constant.

    It returns its last values, and those that `outputs` names as lines do: inputs, buffers, one value twice.
    """

    def __init__(self, lines: Sequence[Line], outputs: Sequence[int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(_halves((4, 4), generator))
        self.register_buffer("state", torch.zeros(4))
        self.register_buffer("table", _halves((4, 4), generator))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64), persistent=False)
        self.mask = torch.tensor([True, False, True, True])
        self.lines = tuple(lines)
        self.outputs = tuple(outputs)

    def start(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [*inputs, self.state, self.table, self.count, self.weight, self.mask]

    def forward(self, x: Any, y: Any, k: Any) -> Any:
        values = self.start((x, y, k))
        for line in self.lines:
            run(line, values)
        return [*values[-4:], *(values[number % len(values)] for number in self.outputs)]


def run(line: Line, values: list[Any]) -> None:
    """One line: its result is a new value, unless it writes."""
    number, *taken, n = line
    found = OPS[number % len(OPS)]
    result = found.call(n, *(values[t % len(values)] for t in taken[: found.arity]))
    if not found.writes:
        values.append(result)


def inputs(rows: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Fresh arguments for a call: two of float32, one of int64, [rows, 4]."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.randint(-3, 4, (rows, COLUMNS), generator=generator)
    return _halves((rows, COLUMNS), generator), _halves((rows, COLUMNS), generator), k


def _halves(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randint(-4, 5, shape, generator=generator) / 2


def decode(drawn: Sequence[Line], outputs: Sequence[int], sizes: Sequence[int]) -> Program:
    """The program of those lines that run at all these sizes, and decide nothing by what is not exact."""
    kept: list[Line] = []
    runs = [Program((), ()) for _ in sizes]
    values = [
        module.start(inputs(rows, seed)) for seed, (module, rows) in enumerate(zip(runs, sizes, strict=True))
    ]
    inexact: set[int] = set()  # memory of the first run
    with torch.no_grad():
        for line in drawn:
            if _fits(line, values, inexact):
                kept.append(line)
    return Program(kept, outputs)


def _fits(line: Line, runs: list[list[torch.Tensor]], inexact: set[int]) -> bool:
    """Run a line at every size; whether it may stay. Where not, all values are as they were."""
    number, *taken, _ = line
    found = OPS[number % len(OPS)]
    places = [t % len(runs[0]) for t in taken[: found.arity]]
    tainted = any(_memory(runs[0][place]) in inexact for place in places)
    written = runs[0][places[0]]
    # What torch.export takes for constants is not written to.
    constants = {_memory(value) for value in runs[0][_FIRST_CONSTANT : _FIRST_CONSTANT + 2]}
    if (tainted and found.decides) or (found.writes and _memory(written) in constants):
        return False
    before = [[value.clone() for value in values] for values in runs]
    try:
        for values in runs:
            run(line, values)
        changed = written if found.writes else runs[0][-1]
        if tainted and not changed.is_floating_point():
            raise TypeError("rounds what is not exact")
    except (RuntimeError, IndexError, TypeError):
        # Writes may be half done, and in some of the runs only: put everything back.
        for values, saved in zip(runs, before, strict=True):
            del values[len(saved) :]
            for value, old in zip(values, saved, strict=True):
                if not torch.equal(value, old):
                    value.copy_(old)
        return False
    if tainted or not found.exact:
        inexact.add(_memory(changed))
    return True


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
