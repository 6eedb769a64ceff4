"""What could run side by side gives the same bits each time: wide programs, drawn, called again and again."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

import bridge
from tests.bridge.test_threads import Single
from tests.repeated import busy, cores, differing, differing_at_once, on_threads
from tests.wide_programs import Wide

# Of the seeds 0 to 26, seven had calls that differed before decision 25: 3 (38 of 300), 11 (1 of 300), 16 (13
# of 500), 18 (3), 21 (14), 22 (7) and 26 (4).
FOUND = (3, 16)


def compiled(module: Wide, engine: str) -> Any:
    with on_threads():
        return bridge.lower(module.eval(), module.inputs()).compile(engine)


def check(seed: int, engine: str, calls: int) -> None:
    """Eager's values within tolerance; then the same bits, call after call and from threads at once."""
    module = Wide(seed).eval()
    run = compiled(module, engine)
    with torch.no_grad():
        wanted = module(*module.inputs())
    made = run(*module.inputs())
    for one, other in zip(made, wanted, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-4, atol=1e-4, msg=lambda text: f"{text}\n{module.described}"
        )
    # Three in a row, of other numbers: what an earlier call left in memory passes for no result.
    row = [(module.inputs(number), {}) for number in range(3)]
    wrong = differing(run, row, calls, run.reset)
    assert not wrong, f"seed {seed}, {engine}: {len(wrong)} of {calls} calls differ: {module.described}"
    if not module.stateful:
        given = [module.inputs(number) for number in range(4)]
        found = differing_at_once([partial(run, *args) for args in given], calls // 4)
        assert found == [[]] * 4, f"seed {seed}, {engine}, at once: {module.described}"


@pytest.mark.skipif(cores() == 1, reason="steps run side by side on two cores or more")
@pytest.mark.parametrize("seed", FOUND)
def test_programs_that_were_wrong(seed: int) -> None:
    check(seed, "iree", 1000)


@pytest.mark.parametrize(
    ("seed", "engine"), [(3, "xla"), (5, "xla"), (6, "xla"), (16, "xla"), (3, "aten"), (5, "aten")]
)
def test_wide_programs(seed: int, engine: str) -> None:
    check(seed, engine, 80)


def test_engines_at_once_with_the_same_weights() -> None:
    """One program on each engine, and twice on IREE's device, called at once from two threads each."""
    module = Wide(5).eval()
    program = bridge.lower(module, module.inputs())
    with on_threads():
        made = [program.compile(engine) for engine in ("iree", "xla", "aten", "iree")]
    given = [module.inputs(number) for number in range(2)]
    found = differing_at_once([partial(run, *args) for run in made for args in given], 60)
    assert found == [[]] * 8


def _threads(engine: str, calls: int) -> None:
    module = Single().eval()
    generator = torch.Generator().manual_seed(0)
    given = [tuple(torch.randn(3, 8, generator=generator) for _ in range(2)) for _ in range(8)]
    run = bridge.lower(module, given[0]).compile(engine)
    assert differing_at_once([partial(run, *args) for args in given], calls) == [[]] * 8
    assert run.report.calls == 8 * (calls + 1)


@pytest.mark.parametrize("engine", ["iree", "xla", "aten"])
def test_eight_threads(engine: str) -> None:
    _threads(engine, 300)


@pytest.mark.conformance
@pytest.mark.parametrize("engine", ["iree", "xla", "aten"])
def test_eight_threads_for_long(engine: str) -> None:
    _threads(engine, 10_000)


@pytest.mark.conformance
@pytest.mark.parametrize("seed", range(200))
def test_many_wide_programs(seed: int) -> None:
    with busy(4):
        check(seed, "iree", 1000)
