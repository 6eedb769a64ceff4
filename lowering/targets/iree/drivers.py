"""IREE's drivers: which one runs a module, and the process's one device of each."""

from __future__ import annotations

import threading

from iree import runtime as rt

from lowering.host.machine import cores
from lowering.ir.bytecode import operations
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.diagnostics import first_line
from lowering.targets.iree.interface import is_small
from lowering.targets.target import TargetOptions

_CONTROL_FLOW = frozenset(("while", "if", "case"))

_lock = threading.Lock()
_devices: dict[str, rt.HalDevice] = {}


def driver_of(place: str) -> str:
    """The driver of a device, on the CPU that with threads: of `cuda:1`, `cuda://1`. Raises EngineError for
    other kinds."""
    kind, _, index = place.partition(":")
    if kind not in ("cpu", "cuda"):
        raise EngineError(f"iree cannot run on the device {place!r}; it knows cpu and cuda")
    if kind == "cpu":
        return "local-task"
    return f"{kind}://{index}" if index else kind


def choose_driver(module: Module, target: TargetOptions) -> str:
    """The driver that runs a module: on the CPU, threads where there are cores and work for them."""
    if target.device != "cpu":
        return driver_of(target.place)
    one_thread = cores() == 1 or is_small(module) or _has_control_flow(module)
    return "local-sync" if one_thread else "local-task"


def _has_control_flow(module: Module) -> bool:
    """Whether a module has loops or branches, which the host runs.

    On threads, IREE 3.13 there touches memory before it is given out ("transient buffer has not been
    committed"), and the call fails (docs/decisions/0025). A module that is not portable bytecode may have
    some.
    """
    try:
        names = {name.partition("_v")[0] for _, name in operations(module.code)}
    except ValueError:
        return True
    return not names.isdisjoint(_CONTROL_FLOW)


def device_of(driver: str) -> rt.HalDevice:
    """The process's one device of a driver. `local-task` gets a thread for each core this process may use.

    Raises EngineError where there is none.
    """
    device = _devices.get(driver)
    if device is not None:
        return device
    with _lock:
        if driver not in _devices:
            if driver == "local-task":
                rt.flags.parse_flags(f"--task_topology_max_group_count={cores()}")
            try:
                _devices[driver] = rt.get_device(driver)
            except Exception as error:
                raise EngineError(f"iree: it finds no usable {driver} device: {first_line(error)}") from None
        return _devices[driver]
