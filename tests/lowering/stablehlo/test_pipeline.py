"""The pipeline of emitted modules: inputs that a call may overwrite, and the checks that come before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lowering.ir.module import Check, CheckKind, Module, Port
from lowering.ir.types import DType
from lowering.stablehlo.pipeline import emitted, text, verify
from tests.lowering.targets.engine_modules import module

CACHE, NEW, ROW = (Port(name, DType.FLOAT32, (4,)) for name in ("cache", "new", "row"))
SHORT, FLAGS = Port("short", DType.FLOAT32, (2,)), Port("flags", DType.BOOL, (1,))
DONATED = (("cache", "new"),)
BODY = """
%new = stablehlo.add %cache, %row : tensor<4xf32>
%short = stablehlo.slice %row [0:2] : (tensor<4xf32>) -> tensor<2xf32>
%first = stablehlo.slice %row [0:1] : (tensor<4xf32>) -> tensor<1xf32>
"""
SORT = """
%sorted = "stablehlo.sort"(%first) ({
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %less = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
  stablehlo.return %less : tensor<i1>
}) {dimension = 0 : i64} : (tensor<1xf32>) -> tensor<1xf32>
"""
COMPARE = "%flags = stablehlo.compare NE, {0}, {0} : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xi1>"


def plain() -> Module:
    return module(BODY, (CACHE, ROW), (NEW, SHORT))


def checked(before: str = "", value: str = "%first") -> Module:
    made = module(BODY + before + COMPARE.format(value), (CACHE, ROW), (NEW, SHORT, FLAGS))
    return replace(made, checks=(Check(CheckKind.ASSERTION, "a NaN came"),))


def test_a_module_without_donations_stays() -> None:
    given = plain()
    assert emitted().run(given) is given


def test_without_checks_a_donation_has_no_preflight() -> None:
    given = plain()
    assert emitted(DONATED).run(given) == replace(given, donated=DONATED)


def test_a_preflight_has_the_checks_and_their_inputs_alone() -> None:
    made = emitted(DONATED).run(checked())
    assert made.donated == DONATED
    assert made.preflight is not None
    assert (made.preflight.inputs, made.preflight.outputs) == ((ROW,), (FLAGS,))
    assert "stablehlo.add" not in text(made).split("// before a call")[1]
    assert "// new in the place of cache" in text(made)


def test_costly_checks_leave_the_buffers_copied() -> None:
    given = checked(SORT, "%sorted")
    assert emitted(DONATED).run(given) is given


def rounds(count: int) -> str:
    """As many operations that compute, each between two that only reshape."""
    lines = ["%v0 = stablehlo.reshape %first : (tensor<1xf32>) -> tensor<1xf32>"]
    for at in range(count):
        lines += [
            f"%a{at} = stablehlo.broadcast_in_dim %v{at}, dims = [1] : (tensor<1xf32>) -> tensor<3x1xf32>",
            f"%b{at} = stablehlo.sine %a{at} : tensor<3x1xf32>",
            f"%c{at} = stablehlo.slice %b{at} [2:3, 0:1] : (tensor<3x1xf32>) -> tensor<1x1xf32>",
            f"%v{at + 1} = stablehlo.reshape %c{at} : (tensor<1x1xf32>) -> tensor<1xf32>",
        ]
    return "\n".join([*lines, ""])


def test_only_operations_that_compute_make_checks_costly() -> None:
    few, many = checked(rounds(60), "%v60"), checked(rounds(64), "%v64")
    assert emitted(DONATED).run(few).donated == DONATED
    assert emitted(DONATED).run(many) is many


WRONG: dict[str, tuple[Callable[[], Module], str]] = {
    "another type": (lambda: replace(plain(), donated=(("cache", "short"),)), "which is of another type"),
    "no preflight": (lambda: replace(checked(), donated=DONATED), "before its checks"),
    "no need": (lambda: replace(plain(), preflight=plain()), "without need"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_donation_is_found(kind: str) -> None:
    make, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        verify(make())
