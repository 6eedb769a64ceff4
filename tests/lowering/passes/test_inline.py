"""Which mode-setting operators are dissolved."""

from dataclasses import replace

import torch
from expecttest import assert_expected_inline

from lowering.ir.facts.higher_order import AUTOCAST, GRAD
from lowering.ir.program import Argument
from lowering.ir.types import Device, DType, contiguous
from lowering.passes.inline import INLINE, inline
from tests.lowering.graphs import f32, graph, node, program
from tests.lowering.passes.eager import Body, check, exported, inputs
from tests.lowering.passes.rewritten import rewritten

HALF = contiguous(DType.BFLOAT16, (2, 2))
SQUARE = {"x": f32(2, 2), "a": f32(2, 2), "p": HALF, "half": HALF, "out": HALF}


def targets(graph):
    return [node.target for node in graph.nodes]


def modes(device, enabled):
    def function(state, x, y):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            product = x @ y.t()
        return product + 1

    return Body(function)


def no_grad(state, x, y):
    with torch.no_grad():
        add = x + y
        mul = add * 2
    with torch.no_grad():
        add_1 = mul + add
        state.add_(add_1)
    return add_1, mul, state + 1


def test_a_region_becomes_its_nodes_and_their_casts():
    inner = graph(["a"], [node("p", "aten.mm.default", self="%a", mat2="%a")], ["%p"], SQUARE, "region")
    nodes = [
        node("half", AUTOCAST, "cpu", DType.BFLOAT16, True, None, inner, "%x"),
        node("out", "aten.relu.default", self="%half"),
    ]
    found = rewritten(INLINE, program(["x"], nodes, ["%out"], SQUARE))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 2]  # user
) {
  %half: bf16[2, 2] = higher_order.wrap_with_autocast('cpu', bf16, True, None, @region, %x)
    region(%a: f32[2, 2]) {
      %p: bf16[2, 2] = aten.mm.default(self=%a, mat2=%a)
      return (%p)
    }
  %out: bf16[2, 2] = aten.relu.default(self=%half)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 2]  # user
) {
  %x_bfloat16: bf16[2, 2] = aten._to_copy.default(self=%x, dtype=bf16)
  %p: bf16[2, 2] = aten.mm.default(self=%x_bfloat16, mat2=%x_bfloat16)  # node p_1
  %out: bf16[2, 2] = aten.relu.default(self=%p)
  return (
    %out
  )
}
""",
    )


def test_names_that_are_taken_get_numbers():
    inner = graph(["a"], [node("out", "aten.neg.default", self="%a")], ["%out"], name="region")
    nodes = [node("wrapped", GRAD, False, inner, "%x"), node("out", "aten.sin.default", self="%wrapped")]
    assert_expected_inline(
        rewritten(INLINE, program(["x"], nodes, ["%out"])),
        """\
main(
  %x: f32[2, 3]  # user
) {
  %wrapped: f32[2, 3] = higher_order.wrap_with_set_grad_enabled(False, @region, %x)
    region(%a: f32[2, 3]) {
      %out: f32[2, 3] = aten.neg.default(self=%a)
      return (%out)
    }
  %out: f32[2, 3] = aten.sin.default(self=%wrapped)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %out_1: f32[2, 3] = aten.neg.default(self=%x)  # node out_2
  %out: f32[2, 3] = aten.sin.default(self=%out_1)
  return (
    %out
  )
}
""",
    )


def test_grad_modes_are_dissolved():
    module = Body(no_grad)
    module.weight = torch.nn.Parameter(torch.ones(1))
    program, _ = exported(module, inputs())
    assert GRAD in targets(program.graph)
    assert GRAD not in targets(inline(program.graph))
    check(module, inputs())


def test_autocast_that_is_off_is_dissolved():
    program, _ = exported(modes("cpu", False), inputs())
    assert targets(program.graph).count(AUTOCAST) == 1
    assert AUTOCAST not in targets(inline(program.graph))
    check(modes("cpu", False), inputs())


def casts(graph):
    return [node.args[1].value for node in graph.nodes if node.target == "aten._to_copy.default"]


def test_autocast_for_an_absent_device_casts_nothing():
    program, _ = exported(modes("cpu", True), inputs())
    nodes = [
        replace(node, args=(Argument("", "cuda"), *node.args[1:])) if node.target == AUTOCAST else node
        for node in program.graph.nodes
    ]
    assert casts(inline(program.graph)) == [DType.BFLOAT16, DType.BFLOAT16]
    absent = inline(replace(program.graph, nodes=tuple(nodes)))
    assert AUTOCAST not in targets(absent)
    assert not casts(absent)


def test_autocast_for_a_device_of_unknown_policies_stays():
    program, _ = exported(modes("cpu", True), inputs())
    region = next(node for node in program.graph.nodes if node.target == AUTOCAST)
    inner = region.args[4].value
    types = {name: replace(type_, device=Device("mps")) for name, type_ in inner.values.items()}
    args = (
        Argument("", "mps"),
        *region.args[1:4],
        Argument("", replace(inner, values=types)),
        *region.args[5:],
    )
    nodes = [replace(node, args=args) if node is region else node for node in program.graph.nodes]
    assert AUTOCAST in targets(inline(replace(program.graph, nodes=tuple(nodes))))


def test_a_write_after_autocast_shows_in_the_views_it_returned():
    def function(state, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flat = state.view(-1)
        state.add_(1)
        return flat + 1

    check(Body(function), inputs())
