"""The machine's rates, and the share of a time that they would take."""

from __future__ import annotations

import pytest

from bridge.profiling import peak
from bridge.profiling.peak import Peak, measured_peak


def test_the_slower_of_the_two_decides() -> None:
    machine = Peak(flops=100.0, nbytes=10.0)
    assert machine.share(50, 0, 1.0) == 0.5
    assert machine.share(50, 8, 1.0) == 0.8
    assert machine.share(50, 8, 2.0) == 0.4
    assert machine.share(50, 8, 0.0) == 0.0


def test_the_least_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The end, three runs that are made in any case, a look, a run, and a look when the time is up.
    moments = iter([0.0, 10, 14, 14, 17, 20, 22, 23, 30, 35, 99])
    monkeypatch.setattr(peak, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(peak, "_SECONDS", 50.0)
    assert peak._least(lambda: None) == 2


def test_a_machine_has_rates() -> None:
    flops, nbytes = measured_peak()
    assert flops > 0
    assert nbytes > 0
