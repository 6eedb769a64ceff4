"""Calls by turns, and the profile of the one in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from bridge.compiled.compiled import Compiled
from bridge.compiled.profile import Profile, Span
from bridge.profiling import calls as subject
from bridge.profiling.calls import measure
from tests.bridge.compiled.test_hooks import counter, three_steps
from tests.bridge.compiled.test_profile import STABLEHLO


def test_each_call_counts() -> None:
    f, engine = three_steps()
    measured = measure(f, (torch.ones(3),), calls=4)
    # Warm-up, plain and profiled calls, and one for kernels; two segments are on the engine.
    assert f.report.calls == 2 * subject._WARM_UP + 2 * 4 + 1
    assert engine.calls == 2 * f.report.calls
    assert measured.calls == 4


def test_calls_have_their_effects() -> None:
    f = counter(STABLEHLO)
    measure(f, (), {"x": torch.ones(3)}, calls=2)
    assert f.buffers["n"].tolist() == [2 * subject._WARM_UP + 2 * 2 + 1] * 3


def test_the_call_in_the_middle_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = three_steps()
    real = f.profile(torch.ones(3))
    seconds = iter([9.0] * subject._WARM_UP + [5.0, 1.0, 3.0])

    def fake(self: Compiled, args: tuple[Any, ...], kwargs: Any, kernels: bool = True) -> Profile:
        return real if kernels else replace(real, seconds=next(seconds))

    monkeypatch.setattr(Compiled, "profile_call", fake)
    assert measure(f, (torch.ones(3),), calls=3).profile.seconds == 3.0


def test_kernels_of_another_call_come_where_their_segment_is(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = three_steps()

    def spans(start: float) -> Iterator[Span]:
        yield Span("execute", "fake", start, 1.0, 0)
        yield Span("kernel", "k", start + 0.25, 0.5, 0, ("y",))
        yield Span("kernel", "k", start + 0.5, 0.5, 7)

    real = f.profile(torch.ones(3))
    shown = replace(real, spans=tuple(spans(2.0))[:1])
    other = replace(real, spans=tuple(spans(40.0)))
    found = subject._with_kernels(shown, other)
    assert found.spans == (Span("execute", "fake", 2.0, 1.0, 0), Span("kernel", "k", 2.25, 0.5, 0, ("y",)))
