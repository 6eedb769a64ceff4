"""A picture has no more boxes than asked for, and every node is in exactly one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Program
from lowering.render.drawing import draw
from lowering.render.picture import BoxKind, Group, Item, Picture
from tests.lowering.graphs import node, program
from tests.lowering.render.samples import in_two, two_layers, within

PATHS = st.sampled_from(["", "a", "a.b", "a.b.c", "a.d", "e.0", "e.1", "e.1.f", "g.h.i.j"])


@st.composite
def programs(draw: st.DrawFn) -> tuple[Program, Plan]:
    """A program whose nodes read any values before them, in a plan of up to five segments."""
    inputs = [f"x{index}" for index in range(draw(st.integers(1, 6)))]
    weights = [f"w{index}" for index in range(draw(st.integers(0, 6)))]
    known = [*weights, *inputs]
    nodes = []
    for index in range(draw(st.integers(1, 40))):
        operands = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
        made = node(f"v{index}", "aten.stack.default", tuple(f"%{name}" for name in operands))
        nodes.append(within(draw(PATHS), made))
        known.append(f"v{index}")
    outputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=6))
    made = program(
        known[: len(weights) + len(inputs)], nodes, [f"%{name}" for name in outputs], buffers=weights
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(nodes)), max_size=4)))
    bounds = list(zip([0, *cuts], [*cuts, len(nodes)], strict=True))
    segments = tuple(
        Segment(index, placement, tuple(item.name for item in nodes[low:high]), (), ())
        for index, (low, high) in enumerate(bounds)
        for placement in [draw(st.sampled_from(Placement))]
    )
    return made, Plan(segments)


def boxes_of(items: Sequence[Item]) -> Iterator[int]:
    for item in items:
        if isinstance(item, Group):
            yield from boxes_of(item.items)
        else:
            yield item


def check(picture: Picture, whole: Program) -> None:
    """Each box is in one group, each node in one box, and edges are between boxes that differ."""
    assert sorted(boxes_of(picture.items)) == list(range(len(picture.boxes)))
    placed = Counter(name for box in picture.boxes for name in box.nodes)
    assert placed == Counter(item.name for item in whole.nodes)
    assert all(edge.source != edge.target for edge in picture.edges)
    assert len({(edge.source, edge.target) for edge in picture.edges}) == len(picture.edges)


@given(programs(), st.integers(3, 60), st.none() | st.integers(0, 4), st.booleans())
def test_every_picture_fits_and_has_every_node(
    made: tuple[Program, Plan], most: int, depth: int | None, planned: bool
) -> None:
    whole, plan = made
    picture = draw(whole, plan if planned else None, depth, most)
    assert len(picture.boxes) <= most
    check(picture, whole)


@given(programs())
def test_a_group_of_a_segment_has_its_nodes_alone(made: tuple[Program, Plan]) -> None:
    whole, plan = made
    picture = draw(whole, plan, max_nodes=200)
    found = {
        tuple(sorted(name for box in boxes_of(group.items) for name in picture.boxes[box].nodes))
        for group in picture.items
        if isinstance(group, Group) and group.placement is not None
    }
    assert found == {tuple(sorted(segment.nodes)) for segment in plan.segments if segment.nodes}


def test_a_program_without_modules_is_folded_into_runs() -> None:
    nodes = [node("v0", "aten.neg.default", self="%x")]
    nodes += [node(f"v{i}", "aten.neg.default", self=f"%v{i - 1}") for i in range(1, 1000)]
    whole = program(["x"], nodes, ["%v999"])
    picture = draw(whole, max_nodes=20)
    check(picture, whole)
    assert 10 < len(picture.boxes) <= 20
    lengths = {len(box.nodes) for box in picture.boxes if box.kind is BoxKind.FOLDED}
    assert max(lengths) <= 64


def test_layers_that_do_not_fit_are_folded_together() -> None:
    nodes = [within("layers.0.a", node("v0", "aten.neg.default", self="%x"))]
    for index in range(1, 400):
        item = node(f"v{index}", "aten.neg.default", self=f"%v{index - 1}")
        nodes.append(within(f"layers.{index // 2}.{'ab'[index % 2]}", item))
    whole = program(["x"], nodes, ["%v399"])
    picture = draw(whole, max_nodes=30)
    check(picture, whole)
    titles = [box.title for box in picture.boxes if box.kind is BoxKind.FOLDED]
    assert 12 < len(titles) <= 28
    assert titles[0].startswith("0 to ")
    assert titles[-1].endswith(" to 199")


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 2), (2, 3), (3, 5)])
def test_the_depth_says_how_far_modules_are_open(depth: int, count: int) -> None:
    picture = draw(two_layers(), depth=depth)
    nodes = [box for box in picture.boxes if box.kind in (BoxKind.OPERATOR, BoxKind.FOLDED)]
    assert len(nodes) == count


def test_at_depth_0_each_segment_is_one_box() -> None:
    whole = two_layers()
    picture = draw(whole, in_two(whole), depth=0)
    assert [len(box.nodes) for box in picture.boxes] == [0, 2, 3, 0]
