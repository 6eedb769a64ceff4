"""Drivers of IREE: of each device by its name."""

from __future__ import annotations

import pytest

from lowering.ir.errors import EngineError
from lowering.targets.iree.drivers import driver_of


def test_a_device_has_its_driver() -> None:
    assert [driver_of(place) for place in ("cpu", "cuda", "cuda:1")] == ["local-task", "cuda", "cuda://1"]
    with pytest.raises(EngineError, match="iree cannot run on the device 'tpu:1'; it knows cpu and cuda"):
        driver_of("tpu:1")
