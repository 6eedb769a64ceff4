"""Numbers that only the data tells stay on the engine: values, errors and the effects at every position."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._pytree import tree_leaves

import bridge
from lowering.ir.plan import Placement

ENGINES = ["xla", "iree", "aten"]
X = torch.arange(48.0).reshape(6, 8) / 8
ROW = torch.linspace(-1, 1, 8)
MASK = X > 3
TWO, HALF, SMALL = torch.tensor(2), torch.tensor(0.5), torch.tensor([1, 2, 3], dtype=torch.int8)


class Module(torch.nn.Module):
    cache: torch.Tensor

    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("cache", torch.zeros(2, 6, 8))

    def forward(self, *args: torch.Tensor) -> Any:
        return self.body(self, *args)


# ------------------------------------------------------------------------------------------------- places


def selected(m: Any, x: Any, p: Any) -> Any:
    return x[p.item()] * 2, x.select(1, p) + 1


def largest(m: Any, x: Any, p: Any) -> Any:
    return x[x.sum(1).argmax()], x[:, (x[p] - 3).abs().argmin()]


def narrowed(m: Any, x: Any, p: Any) -> Any:
    return x.narrow(0, p.item(), 2) * 2


def row_written(m: Any, x: Any, p: Any) -> Any:
    m.cache.select(1, p.item()).copy_(x[:2])
    return m.cache.sum(1)


def narrow_written(m: Any, x: Any, p: Any) -> Any:
    m.cache.narrow(1, p.item(), 2).copy_(x[:4].view(2, 2, 8))
    return m.cache.sum(1)


def slice_written(m: Any, x: Any, p: Any) -> Any:
    """Near the end of the axis Python writes fewer rows, and none from a negative place to 0 or more."""
    p = p.item()
    m.cache[:, p : p + 1] = x[:2, None]
    m.cache[:, p - 1 : p + 2] = x[0]
    return m.cache.sum(1)


def checked_slice_written(m: Any, x: Any, p: Any) -> Any:
    p = p.item()
    torch._check(p >= 0)
    torch._check(p <= 4)
    m.cache[:, p : p + 2] = x[:4].view(2, 2, 8)
    return m.cache * 2, m.cache[:, p : p + 2].sum()


def index_written(m: Any, x: Any, p: Any) -> Any:
    places = torch.arange(2) + p.item()
    m.cache.index_copy_(1, places, x[:4].view(2, 2, 8))
    return m.cache[:, places]


def rolled(m: Any, x: Any, p: Any) -> Any:
    return torch.roll(x, (p.item(), 1), (0, 1)), torch.roll(x, p.item())


def between_ends(m: Any, x: Any, p: Any) -> Any:
    """Slices whose length only the data gives, some of them empty, and one in another."""
    start, end = p.item(), (p + 2).item()
    m.cache[:, start:end] *= 2
    m.cache[:, :start] += x[0]
    y = x.clone()
    y[end:] = y[end:].abs() + 1
    y[-start:] = ROW
    y[:end, start:] = 0
    return m.cache.sum(1), y


def ends_of_ends(m: Any, x: Any, p: Any) -> Any:
    """Slices of slices and of views, which other writes change in between."""
    n = p.item()
    y = x.clone()
    y[n:, n:] = y[n:, n:] * 2
    z = y[n:]
    z += 1
    y *= 2
    z *= 3
    m.cache.view(12, 8)[n:] = x[0]
    m.cache.transpose(1, 2)[:, n:] = m.cache.transpose(1, 2)[:, n:].int()
    return y, m.cache.sum(1)


def checked_ends(m: Any, x: Any, p: Any) -> Any:
    """The exporter takes the number itself for the length."""
    n = p.item()
    torch._check(n >= 1)
    torch._check(n <= 6)
    y = x.clone()
    y[:n] = y[:n] + 1
    y[n - 1] = 0
    m.cache[:, :n] = x[0]
    return y, n, m.cache.sum(1)


def strided(m: Any, x: Any, p: Any) -> Any:
    """Views by strides, one of which begins at a number, and windows that overlap."""
    m.cache.as_strided((2, 8), (48, 1), p.item() * 8).copy_(x[:2])
    y = x.clone()
    y.unfold(1, 2, 3).mul_(2)
    y.unfold(1, 3, 1)[:, 0] = 9
    return m.cache.sum(1), y, x.as_strided((2, 8), (8, 1), p.item() * 8)


def computed_place(m: Any, x: Any, p: Any) -> Any:
    n, s = p.item(), (p * 0.7).item()
    return x[math.floor(s)], x * n**3, x + round(s), math.ceil(s), s % -2.5, s**3, abs(s), x[min(n, 3)]


PLACES = [
    selected, largest, narrowed, row_written, narrow_written, slice_written, checked_slice_written,
    index_written, rolled, between_ends, ends_of_ends, checked_ends, strided, computed_place,
]  # fmt: skip
# The first and the last place, those from the end, and others.
POSITIONS = [0, 1, 3, 4, 5, -1, -2, -6, 6, -7, 1 << 40]


class Outcome(NamedTuple):
    result: Any
    error: BaseException | None


def outcome(call: Callable[..., Any], args: tuple[torch.Tensor, ...]) -> Outcome:
    try:
        with torch.no_grad():
            return Outcome(call(*args), None)
    except Exception as error:
        return Outcome(None, error)


@cache
def whole(body: Callable[..., Any], *args: torch.Tensor) -> bridge.Lowered:
    """The program of a body, all of it one segment on StableHLO."""
    found = bridge.lower(torch.export.export(Module(body), args))
    assert found.not_functional == ""
    assert [segment.placement for segment in found.plan.segments] == [Placement.STABLEHLO], found.placement
    return found


def check_same(got: Any, want: Any, close: bool = False) -> None:
    for one, other in zip(tree_leaves(got), tree_leaves(want), strict=True):
        assert type(one) is type(other)
        if isinstance(one, torch.Tensor):
            bound = 1e-5 if close else 0.0
            torch.testing.assert_close(one, other, equal_nan=True, rtol=bound, atol=bound)
        else:
            assert one == other or (one != one and other != other)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("body", PLACES, ids=lambda body: body.__name__)
def test_places_from_the_data(body: Callable[..., Any], engine: str) -> None:
    """Also what a call that fails leaves in the cache, of which the exported program asserts more."""
    module = Module(body)
    compiled = whole(body, X, TWO).compile(engine)
    for position in POSITIONS:
        args = (X + position % 5, torch.tensor(position))
        before = module.cache.clone()
        want, got = outcome(module, args), outcome(compiled, args)
        assert (want.error is None) == (got.error is None), (position, want.error, got.error)
        if want.error is None:
            check_same(got.result, want.result)
        else:
            # Where the exporter asserts first, it is a RuntimeError, as of `ep.module()`.
            assert isinstance(got.error, IndexError | RuntimeError)
            module.cache.copy_(before)
        for kept in compiled.buffers.values():
            torch.testing.assert_close(torch.as_tensor(kept), module.cache, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_out_of_bounds_is_an_index_error(engine: str) -> None:
    compiled = whole(selected, X, TWO).compile(engine)
    with pytest.raises(IndexError):
        compiled(X, torch.tensor(6))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_assertion_names_what_the_program_takes(engine: str) -> None:
    compiled = whole(checked_slice_written, X, TWO).compile(engine)
    with pytest.raises(RuntimeError, match=r"the program takes item <= 4"):
        compiled(X, torch.tensor(5))


def not_negative(m: Any, x: Any, p: Any) -> Any:
    """Along an axis of stride 1 the exporter takes the number itself for the view's offset."""
    p = p.item()
    torch._check(p >= 0)
    torch._check(p < 8)
    return x[p] * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_an_assertion_on_an_offset_stays(engine: str) -> None:
    compiled = whole(not_negative, ROW, TWO).compile(engine)
    torch.testing.assert_close(compiled(ROW, torch.tensor(7)), ROW[7] * 2)
    with pytest.raises(RuntimeError, match=r"the program takes item >= 0"):
        compiled(ROW, torch.tensor(-1))


# ------------------------------------------------------------------------------------------------ numbers


def integers(m: Any, x: Any, p: Any) -> Any:
    n = p.item()
    return x * n, n, n + 1, n * 3 - 2, -n, n // 3, n % 3, n // -3, n % -3, torch.full((2,), n), n == 3


def choices(m: Any, x: Any, p: Any) -> Any:
    n = p.item()
    return torch.sym_max(n, 2), torch.sym_min(n, 2), torch.sym_float(n), torch.arange(6) < n, n <= 4, n != 3


def scalars(m: Any, x: Any, p: Any) -> Any:
    s = (p * 0.3).float().item()
    return s, s + 1, s - p.item(), x.clamp(max=s), torch.where(x > s, s, x), torch.full((3,), s), s > 1.0


def truth(m: Any, x: Any, p: Any) -> Any:
    flag = (p > 2).item()
    return flag, torch.full((2,), flag), x * flag


def alpha(m: Any, x: Any, p: Any) -> Any:
    return torch.add(x.int(), p.int(), alpha=p.item()), x.int() + p.item()


NUMBERS = [integers, choices, scalars, truth, alpha]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("body", NUMBERS, ids=lambda body: body.__name__)
def test_numbers_from_the_data(body: Callable[..., Any], engine: str) -> None:
    """Equal to the bit, in the types of Python where they are returned."""
    compiled = whole(body, X, TWO).compile(engine)
    for position in (0, 1, 3, -1, -7, 12345):
        args = (X, torch.tensor(position))
        check_same(compiled(*args), Module(body)(*args))


def squared(m: Any, x: Any, p: Any) -> Any:
    return x.sum() + x.max(), p.item() * p.item(), x - 1


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_an_integer_of_more_than_64_bits_is_an_error(engine: str) -> None:
    """Python's integers have no end; StableHLO's have."""
    compiled = whole(squared, X, TWO).compile(engine)
    assert compiled(X, torch.tensor(-(2**31)))[1] == 2**62
    with pytest.raises(RuntimeError, match="an integer from the data leaves the 64 bits"):
        compiled(X, torch.tensor(2**32))


def added(m: Any, x: Any, p: Any) -> Any:
    return x + p.item(), x * 2, x.clamp(max=p.item())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_that_an_element_type_does_not_hold(engine: str) -> None:
    """As in eager: what fills a tensor must be one of its numbers, and an operand wraps around."""
    module, compiled, small = Module(added), whole(added, SMALL, TWO).compile(engine), SMALL
    check_same(compiled(small, torch.tensor(-100)), module(small, torch.tensor(-100)))
    for call in (module, compiled):
        with pytest.raises(RuntimeError, match="without overflow"):
            call(small, torch.tensor(300))


def fractions(m: Any, x: Any, p: Any) -> Any:
    return x * 2, (p.item() - 1.0) ** 2, p.item() / 3.0, x + (p.item() - 0.1)


@pytest.mark.parametrize("engine", ENGINES)
def test_floats_are_computed_in_float64(engine: str) -> None:
    module, compiled = Module(fractions), whole(fractions, X, HALF).compile(engine)
    for value in (0.3, -1e20, float("inf"), float("nan"), 1e-40):
        args = (X, torch.tensor(value))
        check_same(compiled(*args), module(*args))


# ------------------------------------------------------------------------------------- masks, branches, loops


def doubled(m: Any, x: Any, mask: Any) -> Any:
    x[mask] *= 2
    return x


def combined(m: Any, x: Any, mask: Any) -> Any:
    y, columns, rows = x + 1, mask[0], mask[:, 3]
    y[mask] += x[mask]
    y[:, columns] = y[:, columns] / 4 - 1
    y[rows] *= ROW
    return y


def set_(m: Any, x: Any, mask: Any) -> Any:
    x[mask] = 5.0
    x[mask[:, 0]] = ROW
    return x


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("body", [doubled, combined, set_], ids=lambda body: body.__name__)
def test_writes_by_a_mask(body: Callable[..., Any], engine: str) -> None:
    compiled = whole(body, X, MASK).compile(engine)
    for mask in (MASK, ~MASK, torch.zeros_like(MASK), torch.ones_like(MASK)):
        given, own = X.clone(), X.clone()
        check_same(compiled(given, mask), Module(body)(own, mask))
        check_same(given, own)


def in_a_branch(m: Any, x: Any, p: Any) -> Any:
    return torch.cond(x.sum() > 0, lambda x, p: x * p.item(), lambda x, p: x + p.item(), (x, p))


def by_a_number(m: Any, x: Any, p: Any) -> Any:
    return torch.cond(p.item() > 2, lambda x: x * 2, lambda x: x - 1, (x,))


def in_a_loop(m: Any, x: Any, p: Any) -> Any:
    from torch._higher_order_ops import while_loop

    def body(i: Any, y: Any) -> tuple[Any, Any]:
        return i + 1, y + x.select(0, i.item()).sum()

    return while_loop(lambda i, y: i < 5, body, (p, x))


def slice_in_a_branch(m: Any, x: Any, p: Any) -> Any:
    def written(x: Any, p: Any) -> Any:
        y = x * 1
        y[: p.item()].mul_(3)
        return y

    return torch.cond(x.sum() > 0, written, lambda x, p: torch.roll(x, p.item(), 0) + p.item() ** 3, (x, p))


def slice_in_a_loop(m: Any, x: Any, p: Any) -> Any:
    from torch._higher_order_ops import while_loop

    def body(i: Any, y: Any) -> tuple[Any, Any]:
        n, z = i.item(), torch.roll(y, i.item(), 1) / 2
        z[n:] = z[n:] + n**2
        return i + 1, z

    return while_loop(lambda i, y: i < 5, body, (p, x))


INSIDE = [in_a_branch, by_a_number, in_a_loop, slice_in_a_branch, slice_in_a_loop]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("body", INSIDE, ids=lambda body: body.__name__)
def test_branches_and_loops(body: Callable[..., Any], engine: str) -> None:
    compiled = whole(body, X, TWO).compile(engine)
    for position, sign in ((0, 1), (3, -1), (5, 1), (-1, 1), (-7, 1)):
        args = (X * sign, torch.tensor(position))
        want, got = outcome(Module(body), args), outcome(compiled, args)
        assert type(want.error) is IndexError if body is in_a_loop and position == -7 else want.error is None
        assert (got.error is None) is (want.error is None)
        if want.error is None:
            check_same(got.result, want.result, close=True)
        else:
            assert isinstance(got.error, IndexError)


# ---------------------------------------------------------------------------------------- between segments


def across(m: Any, x: Any, p: Any) -> Any:
    """A number of one segment, read by ATen and by the next segment, and another that ATen computes."""
    n = p.item()
    y = (x + n).tanh() * 2
    count = round(torch.histc(y, 4, 0.0, n + 3.0).sum().item() * 0.37, 1)
    z = (y * n).sin() + count
    return z, (z + n).cos() * 2 - count, count, n + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_pass_between_segments(engine: str, tmp_path: Path) -> None:
    module, lowered = Module(across), bridge.lower(torch.export.export(Module(across), (X, TWO)))
    kinds = [segment.placement for segment in lowered.plan.segments]
    assert kinds == [Placement.STABLEHLO, Placement.ATEN, Placement.STABLEHLO]
    assert (
        lowered.placement["histc"] == "aten: its rule needs a number before the call that only the data tells"
    )
    assert lowered.placement["round_1"] == "aten: a number from the data, rounded to decimal places"
    lowered.save(tmp_path / "model.bridge")
    for compiled in (lowered.compile(engine), bridge.load(tmp_path / "model.bridge").compile(engine)):
        for position in (2, 0, -1):
            args = (X / 9, torch.tensor(position))
            check_same(compiled(*args), module(*args), close=True)


class Decoder(torch.nn.Module):
    """A step of a decoder with rotary positions, whose cache is written at a position that is a tensor."""

    k: torch.Tensor
    v: torch.Tensor
    angles: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)
        self.register_buffer("k", torch.zeros(1, 4, 16, 8))
        self.register_buffer("v", torch.zeros(1, 4, 16, 8))
        self.register_buffer("angles", torch.randn(16, 8))

    def forward(self, x: Any, at: Any) -> torch.Tensor:
        p = at.item()
        q, k, v = (t.view(1, 1, 4, 8).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        q, k = (t * self.angles[p].cos() for t in (q, k))
        self.k[:, :, p : p + 1] = k
        self.v[:, :, p : p + 1] = v
        mask = torch.arange(16) <= p
        y = torch.nn.functional.scaled_dot_product_attention(q, self.k, self.v, attn_mask=mask[None])
        return self.out(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_of_a_decoder_is_one_segment(engine: str) -> None:
    module = Decoder().requires_grad_(False)
    lowered = bridge.lower(torch.export.export(module, (torch.randn(1, 1, 32), torch.tensor(0))))
    assert [segment.placement for segment in lowered.plan.segments] == [Placement.STABLEHLO]
    compiled, reference = lowered.compile(engine), copy.deepcopy(module)
    for step in range(5):
        args = (torch.randn(1, 1, 32), torch.tensor(step))
        with torch.no_grad():
            torch.testing.assert_close(compiled(*args), reference(*args), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.as_tensor(compiled.buffers["k"]), reference.k, rtol=1e-5, atol=1e-5)
