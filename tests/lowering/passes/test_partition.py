"""Plans: complete, convex, few segments, and each of them worth it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowering.ir.plan import Placement, Plan
from lowering.ir.program import Node, Program
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType
from lowering.passes.partition import MIN_NODES, TOO_SMALL, all_on_aten, data_reasons, partition
from tests.lowering.graphs import chain, f32, graph, node, program
from tests.work import growth


def check(program: Program, plan: Plan) -> None:
    """Every node that runs is in one segment; segments read what was made before them; ports are right."""
    graph = program.graph
    by_name = {n.name: n for n in graph.nodes}
    placed = [name for segment in plan.segments for name in segment.nodes]
    assert len(placed) == len(set(placed))
    assert set(placed) == set(by_name)
    given = {ref.name for ref in graph.inputs}
    available = set(given)
    for index, segment in enumerate(plan.segments):
        assert segment.index == index
        assert segment.nodes
        assert available.issuperset(segment.inputs)
        inside = set(segment.inputs)
        for name in segment.nodes:
            assert inside.issuperset(by_name[name].refs()), f"{name} reads what its segment is not given"
            inside.update(by_name[name].results())
            assert (name in plan.reasons) == (segment.placement is Placement.ATEN)
        assert inside.issuperset(segment.outputs)
        assert not given & set(segment.outputs)
        available.update(segment.outputs)
    assert available.issuperset(ref.name for ref in graph.outputs)
    for before, after in zip(plan.segments, plan.segments[1:], strict=False):
        assert before.placement is not after.placement
    if len(plan.segments) > 1:
        for segment in plan.segments:
            assert segment.placement is Placement.ATEN or len(segment.nodes) >= MIN_NODES


def placements(plan: Plan) -> list[str]:
    return [segment.placement.value for segment in plan.segments]


def on_aten(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "asked for")


# ----------------------------------------------------------------------------------------- random programs


@st.composite
def dags(draw: st.DrawFn) -> tuple[Program, dict[str, str]]:
    """A program in which every node reads some of what is before it, and nodes to put on ATen."""
    count = draw(st.integers(0, 30))
    nodes: list[Node] = []
    names = ["x", "y"]
    for index in range(count):
        read = draw(st.lists(st.sampled_from(names[-8:]), min_size=1, max_size=3))
        target = draw(st.sampled_from(["aten.cat.default", "aten.bernoulli.default", "aten.t.default"]))
        nodes.append(node(f"n{index}", target, tensors=tuple(f"%{name}" for name in read)))
        names.append(f"n{index}")
    returns = draw(st.lists(st.sampled_from(names), max_size=4))
    reasons = {n.name: "asked for" for n in nodes if draw(st.booleans())}
    return program(["x", "y"], nodes, [f"%{name}" for name in returns]), reasons


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(dags())
def test_any_plan_is_complete_and_convex(drawn: tuple[Program, dict[str, str]]) -> None:
    whole, reasons = drawn
    plan = partition(whole, reasons)
    check(whole, plan)
    assert reasons.items() <= plan.reasons.items()
    moved = plan.reasons.keys() - reasons.keys()
    assert all(plan.reasons[name].startswith(TOO_SMALL) for name in moved)
    random = [n.name for n in whole.graph.nodes if "bernoulli" in n.target and n.name in reasons]
    order = [name for segment in plan.segments for name in segment.nodes if name in set(random)]
    assert order == random, "nodes that draw random numbers changed their order"
    assert partition(whole, reasons) == plan


# ------------------------------------------------------------------------------------------- chosen programs


def test_no_nodes_no_segments() -> None:
    empty = program(["x"], [], ["%x", "%x", 3, None])
    assert partition(empty, {}) == Plan((), {})
    assert all_on_aten(empty, "asked for") == Plan((), {})


def test_all_of_it_in_one_segment() -> None:
    plan = partition(chain(2), {})
    assert placements(plan) == ["stablehlo"]
    assert plan.segments[0].inputs == ("x",)
    assert plan.segments[0].outputs == ("n1",)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        (["n5"], ["stablehlo", "aten", "stablehlo"]),
        (["n0"], ["aten", "stablehlo"]),
        (["n9"], ["stablehlo", "aten"]),
        (["n4", "n5"], ["stablehlo", "aten", "stablehlo"]),
        # Two nodes between two gaps are not worth two crossings, three are.
        (["n3", "n6"], ["stablehlo", "aten", "stablehlo"]),
        (["n2", "n6"], ["aten", "stablehlo", "aten", "stablehlo"]),
        (["n1", "n8"], ["aten", "stablehlo", "aten"]),
    ],
)
def test_gaps_in_a_chain(gaps: list[str], expected: list[str]) -> None:
    whole = chain(10)
    plan = partition(whole, on_aten(*gaps))
    check(whole, plan)
    assert placements(plan) == expected


def test_what_nothing_waits_for_cuts_nothing() -> None:
    side = node("side", "aten.sort.default", self="%n4")
    whole = chain(10)
    nodes = [*whole.graph.nodes[:5], side, *whole.graph.nodes[5:]]
    whole = program(["x"], nodes, ["%n9", "%side"])
    assert placements(partition(whole, on_aten("side"))) == ["stablehlo", "aten"]


def adds(stem: str, source: str) -> list[Node]:
    """Three additions, one after the other: enough for a segment."""
    names = [source, *(f"{stem}{at}" for at in range(3))]
    return [node(b, "aten.add.Tensor", self=f"%{a}", other="%x") for a, b in pairwise(names)]


def test_the_order_with_the_fewest_segments_wins() -> None:
    """What waits for nothing joins what waits for the gap."""
    nodes = [*adds("free", "x"), node("gap", "aten.sort.default", self="%x"), *adds("late", "gap")]
    whole = program(["x"], nodes, ["%free2", "%late2"])
    assert placements(partition(whole, on_aten("gap"))) == ["aten", "stablehlo"]


def test_a_small_segment_waits_for_none_that_reads_it() -> None:
    """It joins a later one, but not one behind any of its readers."""
    gaps = [
        node("first", "aten.sort.default", self="%small"),
        node("second", "aten.sort.default", self="%mid2"),
    ]
    small = node("small", "aten.add.Tensor", self="%x", other="%x")
    nodes = [small, gaps[0], *adds("mid", "first"), gaps[1], *adds("end", "second")]
    last = node("last", "aten.add.Tensor", self="%end2", other="%small")
    whole = program(["x"], [*nodes, last], ["%last"])
    plan = partition(whole, on_aten("first", "second"))
    check(whole, plan)
    assert placements(plan) == ["aten", "stablehlo", "aten", "stablehlo"]
    assert plan.segments[0].nodes == ("small", "first")


def test_a_small_segment_waits_for_none_of_several_that_read_it() -> None:
    """The reader that comes first in the program is the last one that runs."""
    joined = node("joined", "aten.add.Tensor", self="%gap", other="%small")
    nodes = [
        node("small", "aten.add.Tensor", self="%x", other="%x"),
        node("gap", "aten.sort.default", self="%x"),
        joined,
        *adds("mid", "joined"),
        node("side", "aten.sort.default", self="%small"),
    ]
    whole = program(["x"], nodes, ["%mid2", "%side"])
    plan = partition(whole, on_aten("gap", "side"))
    check(whole, plan)
    assert placements(plan) == ["aten", "stablehlo"]


def test_random_numbers_are_drawn_in_their_order() -> None:
    late = node("late", "aten.bernoulli.default", self="%wait2")
    early = node("early", "aten.bernoulli.default", self="%x")
    whole = program(["x"], [*adds("wait", "x"), late, early], ["%late", "%early"])
    plan = partition(whole, on_aten("late", "early"))
    assert [segment.nodes for segment in plan.segments[1:]] == [("late", "early")]


def test_a_node_whose_sizes_the_data_gives_runs_on_aten() -> None:
    found = TensorType(DType.INT64, (Symbol("u0"), 2), (2, 1))
    nodes = [
        node("where", "aten.nonzero.default", self="%x"),
        node("more", "aten.neg.default", self="%where"),
    ]
    types = {"where": found, "more": found}
    assert data_reasons(graph(["x"], nodes, ["%more"], types)) == {
        "where": "the size of its result depends on the data"
    }


def test_views_before_an_aten_node_go_with_it() -> None:
    nodes = [
        node("v1", "aten.view.default", self="%x", size=(3, 2)),
        node("v2", "aten.t.default", self="%v1"),
        node("v3", "aten.unsqueeze.default", self="%v2", dim=0),
        node("gap", "aten.sort.default", self="%v3"),
        *(node(f"n{i}", "aten.neg.default", self=f"%n{i - 1}" if i else "%gap") for i in range(5)),
    ]
    plan = partition(program(["x"], nodes, ["%n4"]), on_aten("gap"))
    assert placements(plan) == ["aten", "stablehlo"]
    assert plan.segments[0].nodes == ("v1", "v2", "v3", "gap")
    assert plan.reasons["v1"] == f"{TOO_SMALL} (a view that only they read)"


def test_views_between_aten_nodes_do_not_part_them() -> None:
    """Not even where StableHLO has work of its own between the two."""
    nodes = [
        node("before", "aten.sort.default", self="%x"),
        node("v1", "aten.t.default", self="%before"),
        node("v2", "aten.t.default", self="%v1"),
        *(node(f"n{i}", "aten.neg.default", self=f"%n{i - 1}" if i else "%before") for i in range(5)),
        node("w", "aten.t.default", self="%y"),
        node("after", "aten.cat.default", tensors=("%v2", "%w")),
    ]
    whole = program(["x", "y"], nodes, ["%after", "%n4", "%v1"])
    plan = partition(whole, on_aten("before", "after"))
    check(whole, plan)
    assert placements(plan) == ["aten", "stablehlo"]
    assert plan.segments[0].nodes == ("before", "v1", "v2", "w", "after")


def test_views_that_stablehlo_reads_too_stay_there() -> None:
    nodes = [
        node("v", "aten.t.default", self="%x"),
        *(node(f"n{i}", "aten.neg.default", self=f"%n{i - 1}" if i else "%v") for i in range(5)),
        node("gap", "aten.sort.default", self="%v"),
    ]
    plan = partition(program(["x"], nodes, ["%gap", "%n4"]), on_aten("gap"))
    assert plan.reasons == on_aten("gap")
    assert placements(plan) == ["stablehlo", "aten"]


def test_early_nodes_wait_for_the_segment_that_reads_them() -> None:
    """A mask made of an input at the start, read after an ATen node, is not worth a segment of its own."""
    nodes = [
        node("mask", "aten.neg.default", self="%y"),
        node("gap", "aten.sort.default", self="%x"),
        *(
            node(f"n{i}", "aten.add.Tensor", self=f"%n{i - 1}" if i else "%gap", other="%mask")
            for i in range(5)
        ),
    ]
    whole = program(["x", "y"], nodes, ["%n4"])
    plan = partition(whole, on_aten("gap"))
    check(whole, plan)
    assert placements(plan) == ["aten", "stablehlo"]
    assert plan.segments[1].nodes[0] == "mask"
    assert plan.reasons == on_aten("gap")


def test_effects_of_nested_graphs_keep_their_order() -> None:
    """A branch draws random numbers; so may nothing after it go before it."""
    draw = node("drawn", "aten.bernoulli.default", self="%a")
    branches = [graph(["a"], [draw], ["%drawn"], name=name) for name in ("yes", "no")]
    nodes = [
        *(node(f"n{i}", "aten.neg.default", self=f"%n{i - 1}" if i else "%x") for i in range(4)),
        node("branch", "higher_order.cond", "%n3", branches[0], branches[1], ("%n3",)),
        node("after", "aten.bernoulli.default", self="%x"),
    ]
    whole = program(["x"], nodes, ["%branch", "%after"])
    plan = partition(whole, on_aten("branch", "after"))
    assert [segment.nodes for segment in plan.segments][-1] == ("branch", "after")


def test_sizes_belong_to_no_segment_unless_the_data_gives_them() -> None:
    known, unknown = SymType(SymKind.INT, Symbol("s0")), SymType(SymKind.INT, Symbol("u0"))
    nodes = [
        node("size", "aten.sym_size.int", self="%x", dim=0),
        node("item", "aten.item.default", self="%x"),
        node("twice", "_operator.mul", a="%item", b=2),
        node("check", "aten.sym_constrain_range_for_size.default", size="%item"),
        node("y", "aten.full.default", size=("%twice",), fill_value=0.0),
    ]
    types = {"size": known, "item": unknown, "twice": unknown, "x": f32()}
    whole = program(["x"], nodes, ["%y", "%size"], types)
    plan = partition(whole, on_aten("item", "twice", "check", "y"))
    assert [segment.nodes for segment in plan.segments] == [("item", "twice", "check", "y")]
    assert plan.segments[0].inputs == ("x",)


def test_outputs_are_named_once() -> None:
    whole = chain(4)
    whole = program(["x"], whole.graph.nodes, ["%n3", "%n1", "%n3", "%x", None])
    assert partition(whole, {}).segments[0].outputs == ("n1", "n3")


def transformer(layers: int) -> Program:
    """The shape of one: attention and a feed-forward part beside a residual stream, per layer."""
    nodes: list[Node] = []

    def add(target: str, *reads: str) -> str:
        name = f"n{len(nodes)}"
        nodes.append(node(name, target, tensors=tuple(f"%{read}" for read in reads)))
        return name

    stream = "x"
    for _ in range(layers):
        normed = add("aten.layer_norm.default", stream)
        parts = [add("aten.view.default", add("aten.linear.default", normed)) for _ in "qkv"]
        mixed = add("aten.linear.default", add("aten.scaled_dot_product_attention.default", *parts))
        stream = add("aten.add.Tensor", stream, mixed)
        hidden = add("aten.gelu.default", add("aten.linear.default", stream))
        stream = add("aten.add.Tensor", stream, add("aten.linear.default", hidden))
    return program(["x"], nodes, [f"%{stream}"])


def test_one_gap_anywhere_in_a_transformer_gives_at_most_three_segments() -> None:
    whole = transformer(4)
    for gap in whole.graph.nodes:
        plan = partition(whole, on_aten(gap.name))
        check(whole, plan)
        assert len(plan.segments) <= 3, gap.name


@pytest.mark.parametrize("every", [2, 5, 100])
def test_long_programs_take_work_in_proportion(every: int) -> None:
    def work(count: int) -> Callable[[], object]:
        whole = chain(count)
        reasons = on_aten(*(f"n{index}" for index in range(0, count, every)))
        return lambda: partition(whole, reasons)

    assert growth(work, 400) < 2.2


def numbers(reads: str) -> tuple[Program, dict[str, str]]:
    """A number that one segment takes out of the data, and that a segment behind ATen's reads."""
    u0 = Symbol("u0")
    types = {
        "n": SymType(SymKind.INT, u0),
        "more": SymType(SymKind.INT, Apply("Add", (u0, 1))),
    }
    nodes = [
        *adds("free", "x"),
        node("n", "aten.item.default", self="%free2"),
        node("more", "_operator.add", a="%n", b=1),
        node("gap", "aten.roll.default", self="%free2", shifts="%more", dims=0),
        *adds("late", "gap"),
        node("last", "aten.mul.Tensor", self="%late2", other=reads),
    ]
    return program(["x"], nodes, ["%last", "%more"], types), on_aten("gap")


def test_a_number_from_the_data_is_a_port() -> None:
    whole, reasons = numbers("%n")
    plan = partition(whole, reasons)
    assert placements(plan) == ["stablehlo", "aten", "stablehlo"]
    first, second, third = plan.segments
    assert first.nodes == ("free0", "free1", "free2", "n", "more")
    assert first.outputs == ("free2", "n", "more")
    assert second.inputs == ("free2", "more")
    assert third.inputs == ("gap", "x", "n")
    assert data_reasons(whole.graph) == {}


def test_a_size_from_the_data_is_no_port() -> None:
    u0 = Symbol("u0")
    types = {"n": SymType(SymKind.INT, u0), "y": TensorType(DType.FLOAT32, (u0,), (1,))}
    nodes = [
        node("n", "aten.item.default", self="%x"),
        node("y", "aten.zeros.default", size=("%n",)),
    ]
    whole = program(["x"], nodes, ["%y"], types)
    assert data_reasons(whole.graph) == {
        "n": "its value is the size of a tensor, known only once the data is"
    }
    plan = partition(whole, data_reasons(whole.graph))
    assert all("n" not in segment.inputs for segment in plan.segments)
