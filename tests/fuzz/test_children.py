"""The fuzzer's own children: each ending is told, charged to its case, and the rest goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.fuzz.children import Ending, Limits, run_case, run_cases


def _act(case: str) -> str:
    match case:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(600)
        case "spin":
            while True:
                pass
        case "raise":
            raise ValueError("no\nlines")
        case "eat":
            return str(len(bytearray(2 << 30)))
    return case.upper()


def test_each_case_has_its_own_ending() -> None:
    cases = ["fine", "crash", "fine", "raise", "hang", "exit", "eat", "fine", "spin", "fine"]
    ended = list(run_cases(cases, _act, Limits(seconds=1.0, waiting=10.0)))
    assert [case for case, _ in ended] == cases
    endings = [outcome.ending for _, outcome in ended]
    assert endings == [
        Ending.RETURNED, Ending.CRASHED, Ending.RETURNED, Ending.RAISED, Ending.HUNG, Ending.CRASHED,
        Ending.RAISED, Ending.RETURNED, Ending.HUNG, Ending.RETURNED,
    ]  # fmt: skip
    details = [outcome.detail for _, outcome in ended]
    assert details[0] == "FINE"
    assert details[1].startswith("SIGSEGV")
    assert details[3].startswith("ValueError: no lines [test_children.py:")
    assert details[5].startswith("exit 3")
    assert details[6].startswith("MemoryError")


def test_a_long_text_comes_back_whole() -> None:
    assert run_case(lambda: "x" * 200_000).detail == "x" * 200_000


def test_a_fuzzer_that_stops_early_leaves_no_child() -> None:
    before = _children()
    for _, outcome in run_cases(["fine", "hang"], _act):
        assert outcome.ending is Ending.RETURNED
        break
    assert _children() <= before


def _children() -> set[str]:
    """The processes that this one has started; other tests may have left a compiler running."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}
