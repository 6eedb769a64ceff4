"""Programs of the meta device are put on the CPU; a meta tensor that a program makes inside stays."""

from dataclasses import replace

from expecttest import assert_expected_inline

from lowering.ir.types import Device
from lowering.passes.meta_to_cpu import META_TO_CPU
from tests.lowering.graphs import MATRIX, graph, node, program
from tests.lowering.passes.rewritten import rewritten

META = Device("meta")
ON_META = replace(MATRIX, device=META)


def test_everything_moves_where_an_argument_is_meta() -> None:
    made = node("y", "aten.full.default", size=(2, 3), fill_value=1.0, device=META)
    body = graph(
        ["a"], [node("b", "aten.relu.default", self="%a")], ["%b"], {"a": ON_META, "b": ON_META}, "body"
    )
    nodes = [made, node("z", "higher_order.wrap_with_set_grad_enabled", False, body, "%x")]
    types = {"x": ON_META, "y": ON_META, "z": ON_META}
    found = rewritten(META_TO_CPU, program(["x"], nodes, ["%z"], types))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 3] @ meta  # user
) {
  %y: f32[2, 3] @ meta = aten.full.default(size=[2, 3], fill_value=1.0, device=meta)
  %z: f32[2, 3] @ meta = higher_order.wrap_with_set_grad_enabled(False, @body, %x)
    body(%a: f32[2, 3] @ meta) {
      %b: f32[2, 3] @ meta = aten.relu.default(self=%a)
      return (%b)
    }
  return (
    %z
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %y: f32[2, 3] = aten.full.default(size=[2, 3], fill_value=1.0, device=cpu)
  %z: f32[2, 3] = higher_order.wrap_with_set_grad_enabled(False, @body, %x)
    body(%a: f32[2, 3]) {
      %b: f32[2, 3] = aten.relu.default(self=%a)
      return (%b)
    }
  return (
    %z
  )
}
""",
    )


def test_a_meta_tensor_inside_stays() -> None:
    made = node("y", "aten.empty.memory_format", size=(2, 3), device=META)
    given = program(["x"], [made, node("z", "aten.relu.default", self="%x")], ["%z"], {"y": ON_META})
    assert META_TO_CPU.run(given) is given
