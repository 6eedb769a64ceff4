"""Emission: odd programs lower or are refused with a reason; types, locations and bytes are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowering.ir.module import Port
from lowering.ir.program import InputKind, InputSpec, Node, OutputKind, OutputSpec, Program, Signature
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.tree import LEAF
from lowering.ir.types import (
    Device,
    DType,
    Layout,
    ObjectType,
    SymKind,
    SymType,
    TensorType,
    TokenType,
    contiguous,
)
from lowering.stablehlo import hlo, registry
from lowering.stablehlo.emit import MAX_DEPTH, emit_module, try_nodes
from lowering.stablehlo.errors import RuleError
from lowering.stablehlo.registry import add_rules
from tests.lowering.graphs import chain, f32, graph, node, program
from tests.work import growth

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "tests" / "data" / "pt2" / "torch-2.13.0").glob("*.pt2"))


def emit(whole: Program, outputs: list[str], sizes: Any = None) -> str:
    """MLIR text of a whole program, with locations."""
    inputs = [ref.name for ref in whole.graph.inputs]
    module = emit_module(whole, whole.graph.nodes, inputs, outputs, sizes or {}, "whole")
    return hlo.text_of(module.code, locations=True)


def one(target: str, types: dict[str, Any], **arguments: Any) -> Program:
    """The program of one node, named `y`."""
    return program([n for n in types if n != "y"], [node("y", target, **arguments)], ["%y"], types)


# ----------------------------------------------------------------------------------------- what is a module


def test_ports_say_names_types_and_weights() -> None:
    whole = program(["w", "x"], [node("y", "aten.add.Tensor", self="%x", other="%w")], ["%y"])
    inputs = (InputSpec(InputKind.PARAMETER, "w", "net.w"), InputSpec(InputKind.USER, "x"))
    outputs = tuple(OutputSpec(OutputKind.USER, ref) for ref in whole.graph.outputs)
    whole = Program(whole.graph, Signature(inputs, outputs, LEAF, LEAF))
    module = emit_module(whole, whole.graph.nodes, ["w", "x"], ["y"], {}, "seven")
    assert module.inputs == (
        Port("w", DType.FLOAT32, (2, 3), "net.w"),
        Port("x", DType.FLOAT32, (2, 3)),
    )
    assert module.outputs == (Port("y", DType.FLOAT32, (2, 3)),)
    assert "module @seven" in hlo.text_of(module.code)


def test_a_weight_that_is_written_is_no_weight() -> None:
    whole = program(["w"], [node("y", "aten.neg.default", self="%w")], ["%y"])
    inputs = (InputSpec(InputKind.BUFFER, "w", "count"),)
    outputs = (OutputSpec(OutputKind.BUFFER_MUTATION, whole.graph.outputs[0], "count"),)
    whole = Program(whole.graph, Signature(inputs, outputs, LEAF, LEAF))
    assert emit_module(whole, whole.graph.nodes, ["w"], ["y"], {}, "m").inputs[0].weight is None


def test_no_nodes() -> None:
    empty = program(["x"], [], [])
    assert try_nodes(empty, {}) == {}
    assert "return" in emit(empty, [])


def test_an_output_twice_and_one_nobody_wants() -> None:
    whole = program(
        ["x"],
        [
            node("pair", "aten.max.dim", self="%x", dim=1, outputs=("top", "place")),
            node("y", "aten.neg.default", self="%top"),
        ],
        ["%y"],
        {"top": f32(2), "place": contiguous(DType.INT64, (2,)), "y": f32(2)},
    )
    assert re.search(r"-> \(tensor<2xf32>, tensor<2xf32>\)", emit(whole, ["y", "y"]))


def test_a_list_of_results() -> None:
    parts = node("parts", "aten.chunk.default", self="%x", chunks=2, outputs=(("a", "b"),))
    whole = program(["x"], [parts], ["%a", "%b"], {"a": f32(1, 3), "b": f32(1, 3)})
    assert emit(whole, ["b", "a"]).count("stablehlo.slice") == 2


def test_results_that_are_none(table: None) -> None:
    """An operator whose mask leaves results out: they are no values, and the rule says None for them."""
    add_rules([("test.op.default", lambda cx, self: (None, self + 1, None))])
    whole = program(["x"], [node("n", "test.op.default", self="%x", outputs=(None, "y", None))], ["%y"])
    assert "stablehlo.add" in emit(whole, ["y"])


@pytest.mark.parametrize("sizes", [(), (0,), (2, 0, 3), (1,)])
def test_sizes_of_any_kind(sizes: tuple[int, ...]) -> None:
    whole = one("aten.add.Tensor", {"x": f32(*sizes), "y": f32(*sizes)}, self="%x", other="%x")
    assert "stablehlo.add" in emit(whole, ["y"])


def test_sizes_are_symbols_until_now() -> None:
    s0 = Symbol("s0")
    twice = Apply("Mul", (2, s0))
    types = {"x": TensorType(DType.FLOAT32, (s0,), (1,)), "y": TensorType(DType.FLOAT32, (twice,), (1,))}
    whole = one("aten.cat.default", types, tensors=("%x", "%x"))
    assert "tensor<10xf32>" in emit(whole, ["y"], {"s0": 5})
    assert "tensor<0xf32>" in emit(whole, ["y"], {"s0": 0})


# ------------------------------------------------------------------------------------------------- refusals

U0, S0 = Symbol("u0"), Symbol("s0")


def sized(*sizes: Any) -> TensorType:
    return TensorType(DType.FLOAT32, sizes, tuple(1 for _ in sizes))


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (one("aten.neg.default", {"y": sized(U0)}, self="%x"), "its size u0 is known only once the data is"),
        (
            one("aten.neg.default", {"y": sized(Apply("Add", (S0, -5)))}, self="%x"),
            "its size s0 - 5 would be -2",
        ),
        (
            one("aten.neg.default", {"y": sized(Apply("FloorDiv", (S0, 0)))}, self="%x"),
            "its size has no value at these sizes: s0 // 0: integer division or modulo by zero",
        ),
        (one("aten.neg.default", {"y": sized(1 << 70)}, self="%x"), f"its size {1 << 70} would be {1 << 70}"),
        (one("aten.neg.default", {"y": TokenType()}, self="%x"), "a token is not a tensor"),
        (one("aten.neg.default", {"y": ObjectType("C")}, self="%x"), "a script object is not a tensor"),
        (
            one("aten.neg.default", {"y": TensorType(DType.FLOAT32, (2,), (1,), layout=Layout.SPARSE_COO)}),
            "StableHLO has no sparse_coo tensors",
        ),
        (
            one("aten.neg.default", {"y": TensorType(DType.FLOAT32, (2,), (1,), device=Device("meta"))}),
            "a tensor on the device meta has no data",
        ),
        (
            one("aten.item.default", {"y": SymType(SymKind.INT, U0)}, self="%x"),
            "the item of a tensor that has not one element",
        ),
        (
            one("aten.abs.default", {"x": contiguous(DType.COMPLEX32, (2,)), "y": f32(2)}, self="%x"),
            "reads x, a complex32",
        ),
        (one("aten.add.Tensor", {"x": TokenType()}, self="%x", other=1), "a token is not a tensor"),
        (one("my.op.default", {}, x="%x"), "no rule, and torch knows no operator my.op.default"),
        (one("_operator.add", {}, a="%x", b="%x"), "no rule, and torch knows no operator _operator.add"),
        (one("higher_order.flex", {}, x="%x"), "a control-flow operator without a rule"),
    ],
)
def test_refusals_name_what_is_wrong(whole: Program, reason: str) -> None:
    given = program(["x"], whole.graph.nodes, ["%y"], dict(whole.graph.values))
    assert try_nodes(given, {"s0": 3}) == {"y": reason}


def test_an_effect_alone_is_for_aten() -> None:
    effect = Node("check", "aten._print.default", node("", "", s="text").args, ())
    whole = program(["x"], [effect], [], {"x": contiguous(DType.BOOL, ())})
    assert try_nodes(whole, {}) == {"check": "run for its effect alone, and StableHLO has none"}


@pytest.mark.parametrize("device", [Device("cuda", 0), Device("cpu")])
def test_devices_are_the_engines_business(device: Device) -> None:
    y = TensorType(DType.FLOAT32, (2, 3), (3, 1), device=device)
    assert try_nodes(one("aten.neg.default", {"x": y, "y": y}, self="%x"), {}) == {}


def test_after_a_refusal_the_others_are_tried_all_the_same() -> None:
    nodes = [
        node("a", "my.op.default", x="%x"),
        node("b", "aten.neg.default", self="%a"),
        node("c", "my.op.default", x="%b", outputs=(("c0", None, "c1"),)),
        node("d", "aten.add.Tensor", self="%c0", other="%c1"),
    ]
    assert set(try_nodes(program(["x"], nodes, ["%d"]), {})) == {"a", "c"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, None),
        (U0, None),
        (Apply("GreaterThan", (S0, 3)), None),
        (Apply("GreaterThan", (S0, 4)), "an assertion that does not hold at these sizes"),
    ],
)
def test_assertions_about_sizes(value: Any, reason: str | None) -> None:
    """Where one does not hold, ATen runs it, and raises what eager raises; one of the data is a check."""
    test = node("test", "_operator.ge", a=1, b=1)
    check = Node("check", "aten._assert_scalar.default", node("", "", self="%test").args, ())
    whole = program(["x"], [test, check], [], {"test": SymType(SymKind.BOOL, value)})
    found = try_nodes(whole, {"s0": 3})
    assert found.get("check") == reason


def test_a_range_of_a_number_from_the_data_is_a_check() -> None:
    constrain = Node(
        "c", "aten.sym_constrain_range_for_size.default", node("", "", size="%n", min=2).args, ()
    )
    for symbol, messages in ((U0, ["the program takes numbers of 2 or more here"]), (S0, [])):
        whole = program(["n"], [constrain], [], {"n": SymType(SymKind.INT, symbol)})
        assert try_nodes(whole, {"s0": 3}) == {}
        inputs = ["n"] if messages else []
        found = emit_module(whole, [constrain], inputs, [], {"s0": 3}, "m").checks
        assert [check.message.partition(": ")[2] for check in found] == messages


# ------------------------------------------------------------------------------------------- rules at fault


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for rules of the test's own."""
    monkeypatch.setattr(registry, "_RULES", dict(registry.all_rules()))


def _mistaken(cx: Any, self: Any) -> Any:
    raise KeyError("dim")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda cx, self: cx.reduce_sum(self, 0), r"built float32\[3\] for node 'y', .* float32\[2, 3\]"),
        (lambda cx, self: (self, self), r"built float32\[2, 3\], float32\[2, 3\] for node 'y'"),
        (lambda cx, self: None, r"built nothing for node 'y'"),
        (lambda cx, self: cx.convert(self, DType.INT32), r"built int32\[2, 3\] for node 'y'"),
        (_mistaken, r"node y, test\.op\.default \(model\.py:9\): KeyError: 'dim'"),
        (lambda cx, self: cx.call("aten.neg.default", self, self), "takes 1 arguments, a rule gives it 2"),
        (
            lambda cx, self: cx.call("aten.nothing.default", self),
            "ATen overloads has no aten.nothing",
        ),
        (lambda cx, self, other: self, "TypeError"),
    ],
)
def test_a_rule_s_mistake_names_the_node(table: None, rule: Any, message: str) -> None:
    add_rules([("test.op.default", rule)])
    whole = program(["x"], [node("y", "test.op.default", self="%x", line=9)], ["%y"])
    with pytest.raises(RuleError, match=message):
        emit(whole, ["y"])
    with pytest.raises(RuleError, match=message):
        try_nodes(whole, {})


def test_invalid_stablehlo_is_the_rule_s_mistake(table: None) -> None:
    def rule(cx: Any, self: Any) -> Any:
        return cx.case(
            cx.constant(0, DType.INT32), [lambda: (cx.reduce_sum(self),)], [(DType.FLOAT32, (2, 3))]
        )

    add_rules([("test.op.default", rule)])
    with pytest.raises(RuleError, match="a rule emitted invalid StableHLO"):
        emit(program(["x"], [node("y", "test.op.default", self="%x")], ["%y"]), ["y"])


def test_an_argument_that_a_rule_leaves_out_must_have_its_default(table: None) -> None:
    registry._RULES.pop("aten.add.Tensor")
    add_rules([("aten.add.Tensor", lambda cx, self, other: self + other)])
    for alpha, reasons in ((1, {}), (2, {"y": "alpha=2 is not lowered"})):
        whole = one("aten.add.Tensor", {"x": f32(2, 3)}, self="%x", other="%x", alpha=alpha)
        assert try_nodes(whole, {}) == reasons


# -------------------------------------------------------------------------------------------- nested graphs


def test_a_nested_graph_that_does_not_fit_is_refused() -> None:
    inner = graph(["a"], [node("b", "aten.neg.default", self="%a")], ["%b"], name="inner")
    for operands, reason in (
        (("%x",), None),
        (("%x", "%x"), "its graph inner takes 1 tensors, given 2"),
        ((), "its graph inner takes 1 tensors, given 0"),
    ):
        whole = program(["x"], [node("y", "higher_order.invoke_subgraph", inner, "id", *operands)], ["%y"])
        assert try_nodes(whole, {}).get("y") == reason


def test_a_nested_graph_returns_its_inputs_or_what_is_no_tensor() -> None:
    for returns, reason in ((["%a"], None), ([3], "a nested graph returns a value that is not a tensor")):
        inner = graph(["a"], [], returns, name="inner")
        whole = program(["x"], [node("y", "higher_order.invoke_subgraph", inner, "id", "%x")], ["%y"])
        assert try_nodes(whole, {}).get("y") == reason


@pytest.mark.parametrize(("depth", "fits"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (300, False)])
def test_graphs_in_graphs(depth: int, fits: bool) -> None:
    inner = graph(["a"], [node("b", "aten.neg.default", self="%a")], ["%b"], name="inner")
    for _ in range(depth - 1):
        call = node("b", "higher_order.invoke_subgraph", inner, "id", "%a")
        inner = graph(["a"], [call], ["%b"], name="inner")
    whole = program(["x"], [node("y", "higher_order.invoke_subgraph", inner, "id", "%x")], ["%y"])
    found = try_nodes(whole, {})
    assert ("y" not in found) == fits
    assert fits or found["y"].endswith(f"graphs lie more than {MAX_DEPTH} deep in graphs")


def test_a_refusal_in_a_nested_graph_names_the_operator() -> None:
    inner = graph(["a"], [node("b", "my.op.default", x="%a")], ["%b"], name="inner")
    whole = program(["x"], [node("y", "higher_order.invoke_subgraph", inner, "id", "%x")], ["%y"])
    assert try_nodes(whole, {})["y"].startswith("my.op.default: no rule")


# ------------------------------------------------------------------------------------------------ locations


def test_every_operation_says_which_node_and_line_it_comes_from() -> None:
    inner = graph(["a"], [node("b", "aten.silu.default", self="%a", line=30)], ["%b"], name="inner")
    nodes = [
        node("first", "aten.gelu.default", self="%x", line=10),
        node("second", "aten.cumprod.default", self="%first", dim=0, line=11),  # a JAX function or a loop
        node("third", "aten.logit.default", self="%second", line=12),  # torch's decomposition
        node("fourth", "higher_order.cond", "%p", inner, inner, ("%third",), line=13),
        node("fifth", "aten.asinh.default", self="%fourth", line=14),  # CHLO
    ]
    whole = program(["x", "p"], nodes, ["%fifth"], {"p": contiguous(DType.BOOL, ())})
    text = emit(whole, ["fifth"])
    known = dict(re.findall(r"^(#loc\d+) = loc\((.*)\)$", text, re.MULTILINE))
    found = set()
    for line in text.splitlines():
        # Equal constants become one, and one of several nodes has no location.
        if " = stablehlo." in line and " = stablehlo.constant" not in line:
            place = re.search(r"loc\((#loc\d+)\)$", line)
            if place is None and line.endswith(("({", "{")):
                continue  # an operation with regions says so after them
            assert place is not None, line
            name, child = re.fullmatch(r'"(\w+)"\((#loc\d+)\)', known[place[1]]).groups()
            found.add((name, known[child]))
    lines = {"first": 10, "second": 11, "third": 12, "fourth": 13, "b": 30, "fifth": 14}
    assert found == {(name, f'"model.py":{line}:0') for name, line in lines.items()}


def test_names_that_are_no_text() -> None:
    whole = program(["x\ud800"], [node("y\udfff", "aten.neg.default", self="%x\ud800")], ["%y\udfff"])
    assert 'loc("y?")' in emit(whole, ["y\udfff"])


# ---------------------------------------------------------------------------------------------- determinism

_DIGESTS = """
import sys, hashlib
import bridge
from pathlib import Path
for path in sys.argv[1:]:
    lowered = bridge.lower(path)
    for segment in lowered.plan.segments:
        if segment.placement.value == "stablehlo":
            code = lowered.module(segment.index).code
            print(Path(path).name, segment.nodes, hashlib.sha256(code).hexdigest())
    print(lowered.plan.reasons)
assert "torch" not in sys.modules
"""


def test_the_same_bytes_in_every_process() -> None:
    command = [sys.executable, "-c", _DIGESTS, *map(str, FILES)]
    runs = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT
        )
        for seed in ("0", "1")
    ]
    outputs = [run.communicate()[0] for run in runs]
    assert not any(run.returncode for run in runs)
    assert outputs[0].count("\n") > 2 * len(FILES) - 2
    assert outputs[0] == outputs[1]


def test_the_same_bytes_twice() -> None:
    whole = chain(20)
    codes = [emit_module(whole, whole.graph.nodes, ["x"], ["n19"], {}, "m").code for _ in range(2)]
    assert codes[0] == codes[1]


def test_long_programs_take_work_in_proportion() -> None:
    def work(count: int) -> Callable[[], object]:
        whole = chain(count)
        last = [f"n{count - 1}"]
        return lambda: (
            emit_module(whole, whole.graph.nodes, ["x"], last, {}, "m"),
            try_nodes(whole, {}),
        )

    assert growth(work, 200) < 2.2
