"""Calls that are given the same, made under conditions in which a race would show; compared bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from bridge.verification.repeat import same_bits

# How many results are read only when as many other calls have been made.
_HELD = 4


def differing(
    call: Callable[..., Any], given: Sequence[Any], calls: int, reset: Callable[[], None] = lambda: None
) -> list[int]:
    """Numbers of the calls, from 1, whose results are not those of the first.

    `given`: the arguments of each call in a row, `(args, kwargs)`; `reset` goes before each row. Arguments
    lie in other memory each time and are overwritten when the call is back. Results are read later.
    """
    first = [_kept(made) for made in _row(call, given, reset)]
    wrong: list[int] = []
    held: deque[tuple[int, Any]] = deque()
    number = 0

    def look(most: int) -> None:
        while len(held) > most:
            at, made = held.popleft()
            if not _same(made, first[at % len(first)]):
                wrong.append(at + 1)

    while number < calls:
        for made in _row(call, given, reset):
            held.append((number, made))
            look(_HELD)
            number += 1
    look(0)
    return wrong


def differing_at_once(callers: Sequence[Callable[[], Any]], calls: int) -> list[list[int]]:
    """For each caller, on a thread of its own beside the others, which of its calls differ from its first."""
    start = Barrier(len(callers))

    def work(caller: Callable[[], Any]) -> list[int]:
        first = _kept(caller())
        start.wait()
        return [number + 1 for number in range(calls) if not _same(caller(), first)]

    with ThreadPoolExecutor(len(callers)) as pool:
        return list(pool.map(work, callers))


def _row(call: Callable[..., Any], given: Sequence[Any], reset: Callable[[], None]) -> Iterator[Any]:
    reset()
    for arguments in given:
        args, kwargs = tree_map(_copied, arguments)
        made = call(*args, **kwargs)
        tree_map(_overwrite, (args, kwargs))
        yield made


def _copied(value: Any) -> Any:
    return (
        value.clone()
        if isinstance(value, torch.Tensor)
        else value.copy()
        if hasattr(value, "__array__")
        else value
    )


def _overwrite(value: Any) -> None:
    if hasattr(value, "__array__"):
        value.fill_(1) if isinstance(value, torch.Tensor) else value.fill(1)


def _kept(made: Any) -> Any:
    return tree_map(_copied, made)


def _same(one: Any, other: Any) -> bool:
    (ones, structure), (others, known) = tree_flatten(one), tree_flatten(other)
    return structure == known and all(map(same_bits, map(_tensor, ones), map(_tensor, others)))


def _tensor(value: Any) -> Any:
    return (
        torch.from_numpy(value)
        if hasattr(value, "__array__") and not isinstance(value, torch.Tensor)
        else value
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that never rest, on the cores of this one."""
    code = "x = 0\nwhile True:\n    x = (x * 5 + 1) % 1000003"
    running = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextmanager
def on_threads() -> Iterator[None]:
    """IREE takes small modules for large ones meanwhile, which run on threads unless the host has a part."""
    from lowering.targets.iree import drivers, entries

    saved = drivers.is_small
    drivers.is_small = entries.is_small = lambda module: False
    try:
        yield
    finally:
        drivers.is_small = entries.is_small = saved


def cores() -> int:
    return len(os.sched_getaffinity(0))
