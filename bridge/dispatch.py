"""Compiling on the engine that a caller names; for `auto`, on those that measurement chooses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.buckets import read_buckets
from bridge.compilation import compile_configured, interpreted
from bridge.configuration import ATEN, AUTO, Configuration
from bridge.errors import UsageError
from bridge.given_weights import require_weights
from bridge.padding import paddings
from bridge.planned import Planned
from bridge.registration import bring_operators
from bridge.sizes import sizes_by_symbol
from lowering.ir.errors import EngineError, did_you_mean
from lowering.targets import DEFAULT_ENGINE, ENGINES, engines, get_engine
from lowering.targets.target import CPU, CompilesDynamic, TargetOptions, target_of
from runtime.specialisations import OnNewSize

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted


def compile_lowered(
    lowered: Planned,
    engine: str = DEFAULT_ENGINE,
    device: str = "cpu",
    tune: float | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    on_new_size: str = OnNewSize.DYNAMIC.value,
    sizes: Iterable[Mapping[str, int]] = (),
    buckets: Mapping[str, Any] | None = None,
) -> Compiled | Interpreted:
    """Compile every segment of a program and load the weights; see `Lowered.compile`."""
    check_engine(engine, device, tune)
    policy = _policy(on_new_size)
    asked = [sizes_by_symbol(lowered.program, given) for given in sizes]
    if buckets is not None:
        use_buckets(lowered, buckets)
    require_weights(lowered)
    bring_operators(lowered.program)
    if lowered.not_functional:
        return interpreted(lowered)
    if engine != ATEN and device != "cpu":
        check_device(device, engine)
    if engine == AUTO:
        from bridge.tuning import compile_tuned

        return compile_tuned(lowered, device, tune, args, kwargs, policy, asked)
    return compile_configured(lowered, Configuration(engine), device, on_new_size=policy, sizes=asked)


def use_buckets(lowered: Planned, buckets: Mapping[str, Any]) -> None:
    """Have a program pad to these, from now on. Raises UsageError where that is not proved to be exact."""
    found = read_buckets(lowered.program, buckets)
    paddings(lowered, lowered.plan, found)
    lowered.buckets = found


def _policy(name: str) -> OnNewSize:
    try:
        return OnNewSize(name)
    except ValueError:
        known = [policy.value for policy in OnNewSize]
        raise UsageError(
            f"on_new_size takes {' or '.join(map(repr, known))}, not {name!r}{did_you_mean(str(name), known)}"
        ) from None


def check_engine(engine: str, device: str = "cpu", tune: float | None = None) -> None:
    """Raise UsageError for an engine or a device that does not exist, or that do not go together."""
    _target(device)
    # Only a name that is not ours is looked for among the packages that are installed: that takes a while.
    if engine not in (*ENGINES, ATEN, AUTO) and engine not in engines():
        known = (*engines(), ATEN, AUTO)
        raise UsageError(
            f"the engine {engine!r} does not exist; there are {', '.join(known)}{did_you_mean(engine, known)}"
        )
    if engine == ATEN and device != "cpu":
        raise UsageError(f"the engine {ATEN} runs on the cpu only; {device} is for {' and '.join(engines())}")
    if tune is not None and engine != AUTO:
        raise UsageError(f"there is nothing to tune on the engine {engine}; tuning is for {AUTO}")
    if tune is not None and not tune >= 0:
        raise UsageError(f"tuning takes a number of seconds, 0 or more, not {tune}")


def compiles_dynamic(engine: str) -> bool:
    """Whether an engine of this name compiles a module for all sizes into one binary."""
    return engine not in (ATEN, AUTO) and isinstance(get_engine(engine), CompilesDynamic)


def check_device(device: str, engine: str = AUTO) -> None:
    """Raise UsageError where a device is not there: a missing device does not move the program to ATen.

    `engine`: that is to run on it; `auto`: any.
    """
    target = _target(device)
    if target == CPU:
        return
    problems: list[EngineError] = []
    names = list(ENGINES) if engine == AUTO else [engine]
    for name in names:
        try:
            get_engine(name).from_tensor(np.zeros(16, np.float32), target)
        except EngineError as error:
            problems.append(error)
    if len(problems) == len(names):
        raise UsageError(f"the device {device} cannot be used: {problems[0]}") from problems[0]


def _target(device: str) -> TargetOptions:
    found = target_of(device) if isinstance(device, str) else None
    if found is None:
        raise UsageError(f"the device {device!r} does not exist; there are cpu, cuda, cuda:1 and so on")
    return found
