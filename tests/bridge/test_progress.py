"""Parts of the work are told to whoever listens, and logged with their seconds."""

from __future__ import annotations

import logging

import pytest

from bridge.progress import listening, part


def test_parts_are_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with caplog.at_level(logging.INFO, "bridge"), listening(told.append):
        with part("one"):
            pass
        with pytest.raises(KeyError), part("two"):
            raise KeyError
    with part("three"):
        pass
    assert told == ["one", "two"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["one", "two"]
