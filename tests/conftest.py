"""Tests compile what they run: nothing comes from a cache on disk, nor goes into the user's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_compile_cache() -> Iterator[None]:
    """The compile cache is off, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_CACHE_BYTES", "0")
        yield
