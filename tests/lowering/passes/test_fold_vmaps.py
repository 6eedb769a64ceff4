"""vmap levels, read as maps: those that are not closed, or do what a map cannot, are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline

from lowering.frontend.errors import ExportError
from lowering.frontend.exported_program import export, from_exported_program
from lowering.ir.program import Graph
from lowering.passes.errors import PassError
from lowering.passes.fold_vmaps import FOLD_VMAPS, fold_vmaps
from lowering.passes.pipelines import canonical
from lowering.targets.aten.routine import run_graph
from tests.lowering.graphs import f32, graph, node, program
from tests.lowering.passes.rewritten import rewritten

_PREFIX = "torch._functorch.predispatch."


def targets(graph: Graph) -> list[str]:
    return [item.target for item in graph.nodes]


class Body(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(*args)


def folded(removed: tuple[Any, ...], *, opened: bool = True, closed: bool = True) -> Graph:
    """`vmap(sin)(x)` of a 4x2 tensor, by hand; `removed`: arguments of the call that stacks the rows."""
    nodes = [
        node("load", f"{_PREFIX}lazy_load_decompositions", outputs=()),
        node("row", f"{_PREFIX}_add_batch_dim", "%x", 0, 1),
        node("y", "aten.sin.default", self="%row"),
        node("z", f"{_PREFIX}_remove_batch_dim", *removed),
    ]
    if opened:
        nodes.insert(1, node("open", f"{_PREFIX}_vmap_increment_nesting", 4, "error", outputs=()))
    if closed:
        nodes.append(node("close", f"{_PREFIX}_vmap_decrement_nesting", outputs=()))
    sizes = (2, 4) if removed[-1] == 1 else (4, 2)
    types = {"x": f32(4, 2), "row": f32(2), "y": f32(2), "z": f32(*sizes)}
    return fold_vmaps(graph(["x"], nodes, ["%z"], types))


def test_values_are_in_the_order_of_the_nodes() -> None:
    names = [f"v{index}" for index in range(20)]
    chain = zip(["row", *names], names, strict=False)
    nodes = [
        node("open", f"{_PREFIX}_vmap_increment_nesting", 4, "error", outputs=()),
        node("row", f"{_PREFIX}_add_batch_dim", "%x", 0, 1),
        *(node(name, "aten.sin.default", self=f"%{read}") for read, name in chain),
        node("z", f"{_PREFIX}_remove_batch_dim", f"%{names[-1]}", 1, 4, 0),
        node("close", f"{_PREFIX}_vmap_decrement_nesting", outputs=()),
    ]
    types = {"x": f32(4, 2), "z": f32(4, 2)} | dict.fromkeys(("row", *names), f32(2))
    (mapped,) = fold_vmaps(graph(["x"], nodes, ["%z"], types)).nodes
    body = mapped.args[0].value
    assert isinstance(body, Graph)
    assert list(body.values) == ["row", *names]


def exported(function: Any, *args: torch.Tensor) -> Graph:
    return canonical().run(from_exported_program(export(Body(function), args))[0]).graph


def test_the_nodes_between_the_calls_become_a_graph() -> None:
    nodes = [
        node("open", f"{_PREFIX}_vmap_increment_nesting", 4, "error", outputs=()),
        node("row", f"{_PREFIX}_add_batch_dim", "%x", 1, 1),
        node("scale", "aten.exp.default", self="%y"),
        node("b", "aten.mul.Tensor", self="%row", other="%scale"),
        node("z", f"{_PREFIX}_remove_batch_dim", "%b", 1, 4, 0),
        node("close", f"{_PREFIX}_vmap_decrement_nesting", outputs=()),
        node("out", "aten.neg.default", self="%z"),
    ]
    types = {"x": f32(2, 4), "z": f32(4, 2), "out": f32(4, 2)} | dict.fromkeys(
        ("row", "y", "scale", "b"), f32(2)
    )
    found = rewritten(FOLD_VMAPS, program(["x", "y"], nodes, ["%out"], types))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 4]  # user
  %y: f32[2]  # user
) {
  torch._functorch.predispatch._vmap_increment_nesting(4, 'error')  # node open
  %row: f32[2] = torch._functorch.predispatch._add_batch_dim(%x, 1, 1)
  %scale: f32[2] = aten.exp.default(self=%y)
  %b: f32[2] = aten.mul.Tensor(self=%row, other=%scale)
  %z: f32[4, 2] = torch._functorch.predispatch._remove_batch_dim(%b, 1, 4, 0)
  torch._functorch.predispatch._vmap_decrement_nesting()  # node close
  %out: f32[4, 2] = aten.neg.default(self=%z)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 4]  # user
  %y: f32[2]  # user
) {
  %scale: f32[2] = aten.exp.default(self=%y)
  %movedim_vmap_0: f32[4, 2; strides 1, 4] = aten.movedim.int(self=%x, source=1, destination=0)  # node movedim_vmap_1
  %z: f32[4, 2] = higher_order.map_impl(@rows_vmap_0, [%movedim_vmap_0], [%scale])  # node map_impl_vmap_0
    rows_vmap_0(%row: f32[2], %scale: f32[2]) {
      %b: f32[2] = aten.mul.Tensor(self=%row, other=%scale)
      return (%b)
    }
  %out: f32[4, 2] = aten.neg.default(self=%z)
  return (
    %out
  )
}
""",  # noqa: E501 - a node is a line, as the IR prints it
    )


def test_elementwise_rows_need_no_loop() -> None:
    found = exported(lambda x, y: torch.vmap(lambda a: a.sin() * y)(x), torch.ones(4), torch.ones(3))
    assert targets(found) == ["aten.sin.default", "aten.unsqueeze.default", "aten.mul.Tensor"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.vmap(lambda a: a.sum() * y)(x),  # not elementwise
        lambda x, y: torch.vmap(lambda a: a * y)(x.double()),  # a scalar row would be promoted in another way
    ],
)
def test_other_rows_are_a_map(function: Any) -> None:
    assert "higher_order.map_impl" in targets(exported(function, torch.ones(4), torch.ones(3)))


def test_results_on_another_axis() -> None:
    """Which torch 2.13 does not export."""
    x = torch.arange(8.0).reshape(4, 2)
    (result,) = run_graph(folded(("%y", 1, 4, 1)), {"x": x}, {})
    torch.testing.assert_close(result, x.sin().t())


def test_levels_that_do_not_close_are_refused() -> None:
    with pytest.raises(PassError, match="does not close"):
        folded(("%y", 1, 4, 0), closed=False)
    with pytest.raises(PassError, match="no level is open"):
        folded(("%y", 1, 4, 0), opened=False)
    with pytest.raises(PassError, match="argument 0 is not a value"):
        folded((3, 1, 4, 0))


def test_random_rows_are_refused() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.vmap(lambda a: torch.dropout(a, 0.5, True), randomness="different")(x)

    with pytest.raises(ExportError, match="draws random numbers inside a vmap"):
        exported(function, torch.ones(4, 3))
