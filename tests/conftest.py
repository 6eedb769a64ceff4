"""Tests compile what they run: nothing is from a cache on disk, nor goes into the user's. None is timed.

Each pass is verified.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, or its making, says how busy the machine is.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")


@pytest.fixture(scope="session", autouse=True)
def no_compile_cache() -> Iterator[None]:
    """The compile cache is off, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_CACHE_BYTES", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def verified_passes() -> Iterator[None]:
    """A pipeline verifies its subject after each pass, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_VERIFY_PASSES", "1")
        yield
