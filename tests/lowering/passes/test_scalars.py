"""Arithmetic of symbolic scalars: nodes where a call tells the numbers, numbers where they are known."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.ir.program import Ref
from lowering.ir.symbols import Symbol
from lowering.ir.text import print_nodes
from lowering.ir.types import SymKind, SymType
from lowering.passes.builder import Builder
from lowering.passes.scalars import added, greater, narrowed, smaller, wrapped
from tests.lowering.graphs import graph

START = Ref("n")


def builder() -> Builder:
    return Builder(graph(["n"], [], [], {"n": SymType(SymKind.INT, Symbol("u0"))}))


def text(made: Builder) -> str:
    return "\n".join(print_nodes(made.nodes, graph([], made.nodes, [], made.values))) + "\n"


def test_known_numbers_make_no_nodes() -> None:
    made = builder()
    assert narrowed(made, 1, 5, 2) == (1, 3)
    assert narrowed(made, -2, 5, 2) == (3, 5)
    assert (wrapped(made, 3, START), added(made, 1, 2), greater(made, 1, 2), smaller(made, 1, 2)) == (
        3,
        3,
        2,
        1,
    )
    assert made.nodes == []


def test_a_start_that_a_call_tells_may_count_from_the_end() -> None:
    made = builder()
    narrowed(made, START, 5, 2)
    assert_expected_inline(
        text(made),
        """\
%add_1: int(u0 + 5) = _operator.add(a=%n, b=5)
%lt_1: bool(u0 < 0) = _operator.lt(a=%n, b=0)
%sym_ite_1: int(Piecewise(u0 + 5, u0 < 0, u0, True)) = torch.sym_ite(b=%lt_1, t=%add_1, f=%n)
%add_2: int(Piecewise(u0 + 5, u0 < 0, u0, True) + 2) = _operator.add(a=%sym_ite_1, b=2)
""",
    )


def test_ends_of_a_window() -> None:
    made = builder()
    greater(made, smaller(made, START, 3), 0)
    wrapped(made, -1, START)
    assert_expected_inline(
        text(made),
        """\
%sym_min_1: int(Min(u0, 3)) = torch.sym_min(a=%n, b=3)
%sym_max_1: int(Max(Min(u0, 3), 0)) = torch.sym_max(a=%sym_min_1, b=0)
%add_1: int(-1 + u0) = _operator.add(a=-1, b=%n)
""",
    )
