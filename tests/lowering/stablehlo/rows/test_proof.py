"""Batch axes of modules: what is said of each symbol, of operations without a rule and of other inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.pipeline import dynamic_text, for_all_sizes, verify_dynamic
from lowering.stablehlo.rows.proof import RULES, with_batch_axes
from tests.lowering.stablehlo.rows.modules import X4, Y4, Case, S, T, check, dynamic_module, twice

CASES = [
    Case(
        "a custom call",
        """
        %y = stablehlo.custom_call @f(%x) : ($R) -> $R
        """,
        "its sizes are not understood",
    ),
    Case(
        "two axes of the batch size",
        """
        %y = stablehlo.negate %x : tensor<?x?xf32>
        """,
        "its input x of sizes [s, s]",
        inputs={"x": ("f32", (S, S))},
        results={"y": ("f32", (S, S))},
    ),
    Case(
        "a multiple of the batch size",
        """
        %y = stablehlo.negate %x : tensor<?xf32>
        """,
        "its input x of sizes [2*s]",
        inputs={"x": ("f32", (twice(S),))},
        results={"y": ("f32", (twice(S),))},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)


def test_each_rule_is_of_an_operation_of_stablehlo() -> None:
    known = {getattr(kind, "OPERATION_NAME", "") for kind in vars(stablehlo).values()}
    assert not [name for name in RULES if f"stablehlo.{name}" not in known]


def test_other_sizes_are_other_symbols() -> None:
    body = "%y = stablehlo.reverse %x, dims = [0] : tensor<?x?xf32>"
    module = dynamic_module(body, {"x": ("f32", (S, T))}, {"y": ("f32", (S, T))})
    found = with_batch_axes(module).batch_axes
    assert isinstance(found["s"], Mixing)
    assert found["t"] == BatchAxes({"x": (1,)}, {"y": (RowAxis(1),)})


def test_the_pass_is_verified() -> None:
    module = for_all_sizes().run(dynamic_module("%y = stablehlo.negate %x : tensor<?x4xf32>", X4, Y4))
    verify_dynamic(module)
    assert "// s: BatchAxes" in dynamic_text(module)
    wrong = replace(module, batch_axes={"s": BatchAxes({"x": (1,)}, {"y": (RowAxis(0),)})})
    with pytest.raises(ValueError, match="segment_0 has 4 elements along the batch axis of s"):
        verify_dynamic(replace(wrong, name="segment_0"))
