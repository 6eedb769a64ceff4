"""How a thread waits for an engine's own, and what engines' binaries depend on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from runtime.engines import host
from runtime.engines.host import Patiently

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these policies")


@pytest.fixture(autouse=True)
def usual_policy() -> Iterator[None]:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_a_patient_thread_has_its_policy_back_afterwards() -> None:
    with Patiently():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    with pytest.raises(KeyError), Patiently():
        raise KeyError
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_only_the_calling_thread_is_patient() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        with Patiently():
            entered.set()
            leave.wait()

    waiting = threading.Thread(target=wait)
    waiting.start()
    entered.wait()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    leave.set()
    waiting.join()


def test_a_thread_of_another_policy_keeps_it() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with Patiently():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


def test_a_sandbox_that_forbids_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def forbidden(*_: object) -> None:
        asked.append(1)
        raise PermissionError

    monkeypatch.setattr(host, "_can_be_patient", True)
    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    for _ in range(2):
        with Patiently():
            pass
    monkeypatch.undo()
    assert asked == [1]
