"""Cores, memory, how a thread waits for an engine's own, and the frame around binaries."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from functools import cache
from math import ceil

from lowering.host.cgroup import cpu_quota, memory_limit
from lowering.ir.errors import EngineError

_MAGIC = b"BRIDGEX1"
_PREFIX = struct.Struct("<8sI")
_MAX_HEADER = 4096


def cores() -> int:
    """How many cores this process may use: the cores it is bound to, within its container's quota."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:
        bound = os.cpu_count() or 1
    quota = _quota()
    return bound if quota is None else max(1, min(bound, ceil(quota)))


def memory() -> int:
    """How many bytes of memory this process may use: the machine's, or its container's limit."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return whole if limit is None else min(whole, limit)


# Read once: `cores` is asked for at each module.
_quota = cache(cpu_quota)


class BatchScheduling:
    """Within it this thread, once woken, lets the thread that woke it finish what it does (Linux).

    An engine's worker wakes the caller, and still holds a lock that the caller then spins for. On a shared
    core, the kernel lets the caller spin until the next tick: calls of 0.7 ms took 3 to 6. A thread of the
    policy SCHED_BATCH is as any other but does not come first when it wakes. 3 us per use; nothing happens
    where the policy cannot be set, or is not the usual one.
    """

    __slots__ = ("_changed",)

    def __enter__(self) -> None:
        self._changed = _can_set_batch and os.sched_getscheduler(0) == os.SCHED_OTHER and _set_batch()

    def __exit__(self, *_: object) -> None:
        if self._changed:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


_can_set_batch = hasattr(os, "SCHED_BATCH")


def _set_batch() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:  # a sandbox may forbid it
        global _can_set_batch
        _can_set_batch = False
    return _can_set_batch


def seal(engine: str, version: str, device: str, payload: bytes) -> bytes:
    """The engine's binary behind a header that says what may load it."""
    header = json.dumps(
        {
            "engine": engine,
            "version": version,
            "device": device,
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
    ).encode()
    return _PREFIX.pack(_MAGIC, len(header)) + header + payload


def unseal(engine: str, version: str, device: str, binary: bytes) -> bytes:
    """The engine's binary; raises EngineError for one that is damaged or meant for something else."""
    try:
        magic, length = _PREFIX.unpack_from(binary)
        start = _PREFIX.size + length
        if magic != _MAGIC or length > _MAX_HEADER or start > len(binary):
            raise ValueError
        header = json.loads(binary[_PREFIX.size : start])
        found = {key: str(header[key]) for key in ("engine", "version", "device", "sha256")}
    except (struct.error, ValueError, KeyError, TypeError):
        raise EngineError(
            f"{engine}: this is not a binary that Bridge wrote; compile the module anew"
        ) from None
    for key, wanted in (("engine", engine), ("version", version), ("device", device)):
        if found[key] != wanted:
            raise EngineError(
                f"{engine}: the binary was compiled for {key} {found[key]}, and this is {wanted}; "
                "compile the module anew"
            )
    payload = binary[start:]
    if hashlib.sha256(payload).hexdigest() != found["sha256"]:
        raise EngineError(f"{engine}: the binary is damaged; compile the module anew")
    return payload
