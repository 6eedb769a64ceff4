"""A configuration: whose a segment is, and which engines it takes."""

from __future__ import annotations

from bridge.configuration import ATEN, Configuration, choice_named
from lowering.ir.plan import Placement, Segment
from lowering.targets import choices

FIRST, SECOND = list(choices())[:2]


def segment(*nodes: str) -> Segment:
    return Segment(0, Placement.STABLEHLO, nodes, (), ())


def test_a_segment_is_that_of_the_first_of_its_nodes_that_is_named() -> None:
    chosen = Configuration(FIRST, {"b": SECOND, "c": FIRST})
    assert chosen.choice_of(segment("a", "b", "c")) == SECOND
    assert chosen.choice_of(segment("a")) == FIRST
    assert Configuration(FIRST).choice_of(segment("b")) == FIRST


def test_engines_are_named_once_and_the_host_is_none() -> None:
    assert Configuration(ATEN).engines() == ()
    assert Configuration(FIRST, {"a": FIRST}).engines() == (choices()[FIRST].engine,)
    both = Configuration(FIRST, {"a": SECOND, "b": ATEN}).engines()
    assert both == tuple(dict.fromkeys((choices()[FIRST].engine, choices()[SECOND].engine)))


def test_a_name_that_is_no_choice_is_an_engine_that_somebody_brings() -> None:
    assert choice_named("brought").engine == "brought"
    assert choice_named(FIRST) is choices()[FIRST]
