"""Which sizes a program can be called with: the ends of ranges are planned at only if guards admit them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lowering.ir.program import Guard
from lowering.ir.symbol_parser import parse_guard
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, TensorType
from lowering.stablehlo.admitted import admits
from tests.lowering.graphs import node, program

S0 = Symbol("s0")


def rows(size: object) -> TensorType:
    return TensorType(DType.FLOAT32, (size, 3), (3, 1))


WHOLE = program(["x", "xs_0_a"], [node("y", "aten.neg.default", self="%x")], ["%y"], {"x": rows(S0)})


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("L['x'].size()[0] % 4 == 0", {0, 4, 8}),
        ("L['x'].size()[0] >= 5", {5, 6, 7, 8}),
        ("L['xs'][0]['a'].size()[1] == L['x'].size()[0]", {3}),
        ("8 % (L['x'].size()[0] // 4) == 0", {4, 5, 6, 7, 8}),  # undefined below 4
        # What cannot be told is taken to hold: it is checked at the call.
        ("L['x'].stride()[0] == 7", set(range(9))),
        ("L['nobody'].size()[0] == 7", set(range(9))),
        ("L['x'].size()[5] == 7", set(range(9))),
    ],
)
def test_guards(text: str, admitted: set[int]) -> None:
    guarded = replace(WHOLE, guards=(Guard(text, parse_guard(text)),))
    assert {size for size in range(9) if admits(guarded, {"s0": size})} == admitted


@pytest.mark.parametrize(
    ("size", "admitted"),
    [
        (Apply("Add", (S0, -3)), {3, 4, 5, 6, 7, 8}),
        (Apply("FloorDiv", (8, S0)), {1, 2, 3, 4, 5, 6, 7, 8}),
        (Apply("Mul", (S0, Apply("Pow", (2, -1)))), {0, 2, 4, 6, 8}),
        (Symbol("u0"), set(range(9))),
    ],
)
def test_sizes(size: object, admitted: set[int]) -> None:
    whole = program(
        ["x"], [node("y", "aten.neg.default", self="%x")], ["%y"], {"x": rows(S0), "y": rows(size)}
    )
    assert {value for value in range(9) if admits(whole, {"s0": value})} == admitted


def test_a_program_whose_range_is_wider_than_its_guards_lowers_whole() -> None:
    torch = pytest.importorskip("torch")
    import bridge
    from lowering.frontend.exported_program import export

    class Folded(torch.nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0] // 4, 4, -1) + 1

    shapes = ({0: torch.export.Dim.DYNAMIC},)
    lowered = bridge.lower(export(Folded(), (torch.ones(8, 3),), dynamic_shapes=shapes))
    assert lowered.functional.ranges
    assert set(lowered.placement.values()) == {"stablehlo"}
