"""The higher-order operators of the tables are torch's, and ATen's target runs them."""

from __future__ import annotations

import pytest

from lowering.ir.facts import higher_order
from lowering.ir.facts.higher_order import AUTOCAST, COND, branches, gives_fresh, is_control_flow, is_map
from lowering.targets.aten.control_flow import higher_order as function_of

ALL = sorted(higher_order._WRAPPERS | higher_order._FRESH | {AUTOCAST})


@pytest.mark.parametrize("target", ALL)
def test_each_is_run_on_aten(target: str) -> None:
    assert callable(function_of(target))


def test_control_flow_gives_new_tensors() -> None:
    flow = [target for target in ALL if is_control_flow(target)]
    assert len(flow) == 7
    assert all(map(gives_fresh, flow))
    assert all(map(is_control_flow, filter(is_map, ALL)))


def test_nothing_both_decides_and_only_runs() -> None:
    assert not any(is_control_flow(target) and higher_order.only_runs_its_graph(target) for target in ALL)
    assert branches(COND) == (1, 2)
    assert branches(AUTOCAST) == ()
