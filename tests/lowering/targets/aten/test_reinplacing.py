"""Buffers that a program writes are updated where they lie, and still as eager does; addresses tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from expecttest import assert_expected_inline

import bridge
from bridge.compiled.compiled import Compiled
from lowering.ir.plan import Placement
from lowering.ir.types import DType, TensorType
from lowering.targets.aten.program import AtenProgram
from lowering.targets.aten.reinplacing import reinplace
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.models.decoding import buffer_address
from tests.runtime.fakes import node, tensor

ENGINES = ("xla", "iree", "aten")
ROWS, WIDTH = 6, 4


class Cache(torch.nn.Module):
    """A buffer of 6 rows of 4, and what a step does with it."""

    def __init__(self, step: Callable[..., Any]) -> None:
        super().__init__()
        self.step = step
        rows = torch.arange(ROWS * WIDTH, dtype=torch.float32).reshape(ROWS, WIDTH)
        self.register_buffer("cache", rows)

    def forward(self, row: torch.Tensor, at: torch.Tensor) -> Any:
        return self.step(self.cache, row, at)


def lowered(step: Callable[..., Any]) -> tuple[torch.nn.Module, bridge.Lowered]:
    """Eager, and the same program lowered."""
    program = torch.export.export(Cache(step), (torch.ones(1, WIDTH), torch.tensor([0])))
    return program.module(), bridge.lower(program)


def check(eager: torch.nn.Module, compiled: Compiled, calls: int = 4) -> list[int]:
    """Several calls equal eager's, outputs of earlier ones included; the buffer's address after each."""
    kept: list[tuple[Any, Any]] = []
    addresses = []
    for call in range(calls):
        row, at = torch.full((1, WIDTH), -1.0 - call), torch.tensor([(2 * call + 1) % ROWS])
        kept.append((compiled(row, at), eager(row, at)))
        kept[-1] = (kept[-1][0], torch.utils._pytree.tree_map(torch.clone, kept[-1][1]))
        torch.testing.assert_close(torch.as_tensor(compiled.buffers["cache"]), eager.cache)
        addresses.append(buffer_address(compiled, "cache"))
    for got, wanted in kept:
        torch.testing.assert_close(got, wanted)
    return addresses


def copied(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.index_copy_(0, at, row)
    return cache.sum(0)


def inner(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache[:, at % WIDTH] = row.sum()
    return cache[1:3] * 2


def sliced(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache[2:3] = row
    return cache.sum(0)


def scattered(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.scatter_(0, at[None].expand(1, WIDTH), row)
    return cache.sum(0)


def twice(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.index_copy_(0, at, row)
    cache[0] = 7.0
    return cache.sum(0)


def returned(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    cache.index_copy_(0, at, row)
    return cache, cache[1:]


IN_PLACE = {f.__name__: f for f in (copied, inner, sliced, twice, returned)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", IN_PLACE)
def test_a_written_buffer_stays_where_it_is(name: str, engine: str) -> None:
    eager, program = lowered(IN_PLACE[name])
    compiled = program.compile(engine)
    if engine != "aten":
        assert compiled.report.nodes(Placement.ATEN) == 0
    assert len(set(check(eager, compiled))) == 1


# ---------------------------------------------------- where the old value is still read: right all the same


def old_row(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    before = cache[at]
    old = cache.clone()
    cache.index_copy_(0, at, row)
    return before + old.sum()


def old_whole(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    old = cache.clone()
    cache.index_copy_(0, at, row)
    return old, cache + old


def shifted(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.copy_(torch.cat([cache[1:], row]))
    return cache.sum(0)


def flipped(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.add_(cache.flip(0))
    return cache.sum() + row


def transposed(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache[:4].copy_(cache[:4].t() + row)
    return cache.sum(0)


def from_itself(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.index_copy_(0, at, cache[:1] + row)
    cache[1:5] = cache[:4] + row
    return cache.sum(0)


def slid(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache[1:5] = cache[:4].clone()
    return cache.sum(0) + row


def slid_and_changed(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache[1:5] = cache[:4] + row
    return cache.sum(0)


_STEPS = (old_row, old_whole, shifted, flipped, transposed, from_itself, scattered, slid, slid_and_changed)
HAZARDS = {f.__name__: f for f in _STEPS}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", HAZARDS)
def test_old_values_are_read_before_they_go(name: str, engine: str) -> None:
    eager, program = lowered(HAZARDS[name])
    check(eager, program.compile(engine))


# ----------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_out_of_bounds_is_found_before_the_buffer_is_written(engine: str) -> None:
    eager, program = lowered(twice)
    if engine != "aten":
        module = program.module(0)
        assert module.donated
        assert module.preflight is not None
    compiled = program.compile(engine)
    check(eager, compiled, 2)
    before = compiled.buffers["cache"]
    with pytest.raises(IndexError, match="index_copy"):
        compiled(torch.zeros(1, WIDTH), torch.tensor([ROWS]))
    np.testing.assert_array_equal(compiled.buffers["cache"], before)
    check(eager, compiled, 2)


def late(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.index_copy_(0, at, row)
    cache[0] = 7.0
    cache.mul_(2.0)
    return row.flatten()[at]


def test_a_failure_on_aten_takes_the_writes_back() -> None:
    eager, program = lowered(late)
    compiled = program.compile("aten")
    assert len(set(check(eager, compiled, 2))) == 1
    before = compiled.buffers["cache"]
    with pytest.raises(IndexError):
        compiled(torch.zeros(1, WIDTH), torch.tensor([ROWS - 1]))
    np.testing.assert_array_equal(compiled.buffers["cache"], before)


def dear(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    cache.index_copy_(0, (row @ row.t()).long().flatten() % 9, row)
    return cache.sum(0)


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_a_buffer_is_copied_where_its_checks_are_much_work(engine: str) -> None:
    _, program = lowered(dear)
    module = program.module(0)
    assert module.checks
    assert not module.donated
    compiled = program.compile(engine)
    before = compiled.buffers["cache"]
    with pytest.raises(IndexError):
        compiled(torch.tensor([[2.0, 2.0, 0.0, 0.0]]), torch.tensor([0]))
    np.testing.assert_array_equal(compiled.buffers["cache"], before)


# -------------------------------------------------------------------------------------- segments, artifacts


def gap(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    row = row + torch.histc(row, WIDTH, -9.0, 9.0)
    view = cache[:1]
    cache.index_copy_(0, at % 3, row)
    return torch.histc(cache, 3, 0.0, 5.0), view


def gap_reads_old(cache: torch.Tensor, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    counts = torch.histc(cache, WIDTH, 0.0, 5.0)
    cache.index_copy_(0, at % 3, row + counts)
    return torch.histc(cache, 3, 0.0, 5.0)


@pytest.mark.parametrize("engine", ["xla", "iree"])
@pytest.mark.parametrize("step", [gap, gap_reads_old])
def test_segments_on_aten_before_and_after(step: Callable[..., Any], engine: str, monkeypatch: Any) -> None:
    from lowering.stablehlo import registry

    monkeypatch.setattr(registry, "rule_for", _without_histc(registry.rule_for))
    monkeypatch.setattr("lowering.stablehlo.emit.rule_for", _without_histc(registry.rule_for))
    eager, program = lowered(step)
    compiled = program.compile(engine)
    check(eager, compiled)


def _without_histc(rule_for: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda target: None if "histc" in target else rule_for(target)


def test_tied_buffers_are_one() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("one", torch.zeros(3, 2))
            self.register_buffer("two", self.one)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.one[1] = x
            return self.two.sum(0)

    program = torch.export.export(Tied(), (torch.ones(2),))
    low = bridge.lower(program)
    for engine in ENGINES:
        compiled = low.compile(engine)
        for call in range(3):
            x = torch.full((2,), float(call))
            torch.testing.assert_close(compiled(x), x)
            for buffer in compiled.buffers.values():
                np.testing.assert_array_equal(buffer[1], x.numpy())


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_an_artifact_keeps_what_is_donated(engine: str, tmp_path: Any) -> None:
    eager, program = lowered(copied)
    program.compile(engine)
    program.save(tmp_path / "a.bridge")
    loaded = bridge.load(tmp_path / "a.bridge")
    known = set(loaded.binaries)
    assert loaded.module(0) == program.module(0)
    assert len(set(check(eager, loaded.compile(engine)))) == 1
    assert set(loaded.binaries) == known


def cache_step(*late: str) -> AtenProgram:
    """A buffer that a row is added to, and whose old value the nodes in `late` read afterwards."""
    nodes = [
        node("aten.mul.Tensor", "grown", self="%cache", other="%row"),
        node("aten.sum.default", "y", self="%grown"),
        *(node("aten.sin.default", name, self="%cache") for name in late),
        node("aten.add.Tensor", "new", self="%grown", other=1),
    ]
    types = {
        "cache": tensor(6, 4),
        "row": tensor(4),
        "grown": tensor(6, 4),
        "new": tensor(6, 4),
        "y": tensor(),
    }
    types |= dict.fromkeys(late, tensor(6, 4))
    return segment(nodes, types, ["new", "y", *late], updates={"cache": "new"})


def test_the_nodes_from_the_old_value_to_the_new_run_in_place() -> None:
    assert_expected_inline(
        rewritten("reinplacing", cache_step()),
        """\
%grown: f32[6, 4] = aten.mul.Tensor(self=%cache, other=%row)
%y: f32[] = aten.sum.default(self=%grown)
%new: f32[6, 4] = aten.add.Tensor(self=%grown, other=1)
=>
%grown: f32[6, 4] = aten.mul.Tensor(self=%cache, other=%row)
%y: f32[] = aten.sum.default(self=%grown)
%new: f32[6, 4] = aten.add.Tensor(self=%grown, other=1)
in place: grown(self)
in place: new(self)
""",
    )


def test_an_old_value_that_is_read_later_stays() -> None:
    before, _, after = rewritten("reinplacing", cache_step("late")).partition("=>\n")
    assert before == after


@pytest.mark.parametrize(
    ("made", "other"),
    [(tensor(3, 2), "%x"), (tensor(2, dtype=DType.FLOAT64), "%x"), (tensor(2), "%b_cache")],
    ids=["other sizes", "another dtype", "the old value twice"],
)
def test_a_new_value_that_does_not_fit_the_old_ones_memory_has_its_own(made: TensorType, other: str) -> None:
    nodes = [node("aten.add.Tensor", "y", self="%b_cache", other=other)]
    types = {"b_cache": tensor(2), "x": tensor(3, 2), "y": made}
    given = segment(nodes, types, ["y"], updates={"b_cache": "y"})
    assert reinplace(given).in_place == {}
