"""Pages of mapped files that nobody needs any more leave memory, and come back with the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import resident
from lowering.host import residency
from lowering.host.irpa import read_irpa, write_irpa
from lowering.host.residency import forget_pages, give_back_freed

MEGABYTES = 32


def numbers(megabytes: int = MEGABYTES) -> np.ndarray:
    return np.arange(megabytes << 18, dtype=np.float32)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")
def test_pages_of_an_archive_leave_memory_and_come_back(tmp_path: Path) -> None:
    write_irpa(tmp_path / "w.irpa", {"first": numbers(1), "second": numbers()})
    with (tmp_path / "w.irpa").open("rb") as file:
        arrays = read_irpa(file)
    before = resident()
    total = arrays["second"].sum()
    assert resident() - before > MEGABYTES * 0.9
    forget_pages(arrays.values())
    assert resident() - before < MEGABYTES * 0.1
    assert arrays["second"].sum() == total
    assert np.array_equal(arrays["first"], numbers(1))


def test_a_mapping_at_an_offset_and_parts_of_it(tmp_path: Path) -> None:
    numbers(1).tofile(tmp_path / "raw")
    whole = np.asarray(np.memmap(tmp_path / "raw", np.float32, "r", 4 * 1111, (200_000,)))
    forget_pages([whole[77:100_000], whole[:0], whole[150_000:].reshape(500, 100)])
    assert np.array_equal(whole, numbers(1)[1111:201_111])


def test_other_memory_keeps_its_bytes(tmp_path: Path) -> None:
    numbers(1).tofile(tmp_path / "raw")
    written = np.memmap(tmp_path / "raw", np.float32, "c")
    written[:] = 3
    own = numbers(1)
    forget_pages([written, np.asarray(written)[5:], own, own[100:]])
    assert (written == 3).all()
    assert np.array_equal(own, numbers(1))


def test_freed_memory_is_given_back_where_the_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(residency, "_trim", lambda: asked.append)
    give_back_freed()
    assert asked == [0]
    monkeypatch.setattr(residency, "_trim", lambda: None)
    give_back_freed()


def test_the_c_library_is_found_or_does_without() -> None:
    residency._trim.cache_clear()
    give_back_freed()
