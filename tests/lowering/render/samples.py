"""Small programs with module paths, and plans for them."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.location import Location
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Node, Program
from tests.lowering.graphs import f32, node, program

#: Names that mean something in one of the formats.
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"]; click n0 "javascript:alert(1)"; x["',
    "<b>bold</b> & \\N \\l #quot; `code` {x} |y|",
    "line\nbreak\r\ttab\x00\ud800",
    "%%{init: {}}%%",
    "end",
)


def within(path: str, item: Node) -> Node:
    """A node of the module with this path."""
    return replace(item, location=Location(item.location.stack_trace, path))


def two_layers() -> Program:
    """Two layers of a linear and a relu, and a sum of both results."""
    nodes = [
        within("body.0", node("linear", "aten.linear.default", input="%x", weight="%w0", line=3)),
        within("body.0", node("relu", "aten.relu.default", self="%linear")),
        within("body.1", node("linear_1", "aten.linear.default", input="%relu", weight="%w1")),
        within("body.1", node("relu_1", "aten.relu.default", self="%linear_1")),
        node("add", "aten.add.Tensor", self="%relu", other="%relu_1"),
    ]
    types = {"w0": f32(3, 3), "w1": f32(3, 3)}
    return program(["w0", "w1", "x"], nodes, ["%add"], types, buffers=["w0", "w1"])


def in_two(placed: Program) -> Plan:
    """A plan with the first two nodes on StableHLO and the others on ATen."""
    names = [item.name for item in placed.nodes]
    return Plan(
        (
            Segment(0, Placement.STABLEHLO, tuple(names[:2]), (), ()),
            Segment(1, Placement.ATEN, tuple(names[2:]), (), ()),
        ),
        dict.fromkeys(names[2:], "no rule"),
    )


def named(text: str) -> Program:
    """A program whose node, value, operator, module and weight have this name."""
    item = within(f"{text}.{text}", node(text, text, outputs=(text,), self="%x", weight="%w"))
    other = within(text, node("after", "aten.neg.default", self=f"%{text}"))
    made = program(["w", "x"], [item, other], ["%after"], buffers=["w"])
    weight, x = made.signature.inputs
    signature = replace(made.signature, inputs=(replace(weight, fqn=text), x))
    return replace(made, signature=signature, name=text)
