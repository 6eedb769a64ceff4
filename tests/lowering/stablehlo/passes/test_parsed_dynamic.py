"""Modules for all sizes through a pipeline: a fault of a pass is an error like that of a form they lack."""

from __future__ import annotations

from typing import Any

import pytest

from lowering.ir.errors import EngineError
from lowering.stablehlo.passes.parsed_dynamic import rewritten_dynamic
from tests.lowering.stablehlo.passes.through import dynamic_module

TEXT = """
func.func public @main(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}
"""


class Broken:
    """A pipeline with a bug."""

    def run(self, subject: Any) -> Any:
        raise ValueError("a bug")


def test_a_fault_of_a_pass_leaves_the_other_ways_to_run_a_module() -> None:
    broken: Any = Broken()
    with pytest.raises(EngineError, match="a pass fails at such sizes: ValueError: a bug"):
        rewritten_dynamic(dynamic_module(TEXT, [("n",)]), broken)
