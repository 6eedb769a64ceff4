"""A module to build in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir


@pytest.fixture
def module() -> Iterator[ir.Module]:
    """What a test builds goes into it, and is verified at the end."""
    with hlo.make_context(), ir.Location.unknown():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            yield module
        assert module.operation.verify()
