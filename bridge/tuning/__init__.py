"""Measured placement, `engine="auto"`: every way to run a program is timed here, and the fastest is taken.

`Lowered.tuning`, which artifacts hold, keeps the decision and its figures. The machine that measured them
does not measure again.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bridge.compilation import compile_configured
from bridge.configuration import ATEN, AUTO, Configuration
from bridge.errors import BridgeError
from bridge.tuning_record import Trial, Tuning
from lowering.host.machine import cores
from lowering.ir.errors import EngineError
from lowering.ir.program import OutputKind
from lowering.targets import ENGINES, get_engine
from runtime.specialisations import OnNewSize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.compiled.compiled import Compiled
    from bridge.planned import Planned

    # The record, and the keys of the binaries that the chosen configuration takes.
    Found = tuple[Tuning, set[str]]


def compile_tuned(
    lowered: Planned,
    device: str,
    tune: float | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    on_new_size: OnNewSize = OnNewSize.WAIT,
    sizes: Sequence[Mapping[str, int]] = (),
) -> Compiled:
    """Compile a program the way that is fastest on this machine; see `Lowered.compile`."""
    host = this_host(device)
    before = lowered.tuning if lowered.tuning is not None and lowered.tuning.host == host else None
    if before is not None and (tune is None or before.complete):
        return compile_configured(
            lowered, before.configuration, device, AUTO, on_new_size=on_new_size, sizes=sizes
        )
    kept = set(lowered.binaries)
    try:
        tuning, used = _search(lowered, device, tune, args, kwargs, before, host)
    except BridgeError as error:
        tuning, used = _unmeasured(lowered, device, host, str(error))
    lowered.tuning = tuning
    for key in lowered.binaries.keys() - kept - used:
        del lowered.binaries[key]
    # The one that raced has been called: its buffers are not those that the program begins with.
    return compile_configured(
        lowered, tuning.configuration, device, AUTO, on_new_size=on_new_size, sizes=sizes
    )


def this_host(device: str) -> dict[str, str]:
    """The key of a measurement: the processor and how many cores, the device, torch and the engines."""
    found = {"device": device, "cores": str(cores()), "torch": version("torch")}
    for name in ENGINES:
        try:
            found[name] = get_engine(name).version()
        except EngineError:
            found[name] = "not installed"
    return found


def _search(
    lowered: Planned,
    device: str,
    tune: float | None,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    before: Tuning | None,
    host: Mapping[str, str],
) -> Found:
    """Raises BridgeError where inputs cannot be drawn, or nothing runs on them."""
    from bridge.tuning.search import Search
    from bridge.verification.draw import example_call
    from bridge.verification.trial import copy_tensors

    given = example_call(lowered, args, kwargs)
    writes = any(s.kind is OutputKind.INPUT_MUTATION for s in lowered.functional.signature.outputs)
    call = (lambda: copy_tensors(given)) if writes else (lambda: given)
    tuning, best = Search(lowered, device, call, tune, before).run(host)
    if best is None:
        raise BridgeError(f"nothing runs on the inputs that were drawn: {tuning.trials[0].problem}")
    return tuning, best.used


def _unmeasured(lowered: Planned, device: str, host: Mapping[str, str], problem: str) -> Found:
    """The first engine that is installed; engines that compile fast come before others."""
    for name in (*reversed(ENGINES), ATEN):
        used: set[str] = set()
        try:
            compile_configured(lowered, Configuration(name), device, AUTO, used)
        except EngineError:
            continue
        return Tuning(host, name, (Trial(name, Configuration(name)),), problem=problem), used
    raise AssertionError("ATen needs no engine")
