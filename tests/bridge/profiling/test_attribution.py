"""Each moment in which kernels run is shared out once."""

from __future__ import annotations

import pytest

from bridge.profiling.attribution import attributed
from tests.bridge.profiling.profiles import kernel


def test_kernels_one_after_another_have_their_own_time() -> None:
    assert attributed([kernel("a", 0, 2), kernel("b", 3, 1)]) == [2, 1]


def test_a_kernel_inside_another_takes_from_it() -> None:
    spans = [kernel("loop", 0, 10), kernel("body", 1, 3), kernel("deep", 2, 1), kernel("body", 5, 4)]
    assert attributed(spans) == [3, 2, 1, 4]


def test_kernels_on_two_threads_share() -> None:
    assert attributed([kernel("a", 0, 4, lane=0), kernel("b", 2, 4, lane=1)]) == [3, 3]


def test_one_inside_the_other_on_two_threads_shares_too() -> None:
    assert attributed([kernel("a", 0, 4, lane=0), kernel("b", 1, 2, lane=1)]) == [3, 1]


def test_equal_kernels_share() -> None:
    assert attributed([kernel("a", 0, 4), kernel("b", 0, 4)]) == [2, 2]


def test_the_sum_is_the_time_in_which_any_runs() -> None:
    spans = [kernel("a", 0, 3), kernel("b", 2, 3), kernel("c", 2, 1, lane=1), kernel("d", 9, 1)]
    assert sum(attributed(spans)) == pytest.approx(6)


def test_none_at_all() -> None:
    assert attributed([]) == []
