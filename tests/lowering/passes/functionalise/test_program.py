"""Writes as values, and the outputs of the program that they become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import OutputKind, OutputSpec
from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView
from lowering.passes.errors import NotFunctional
from lowering.passes.functionalise import functionalise
from tests.lowering.graphs import f32, node, program
from tests.lowering.passes.rewritten import rewritten


def test_a_write_through_a_view_of_a_buffer() -> None:
    nodes = [
        node("row", "aten.select.int", self="%state", dim=0, index=1),
        node("added", "aten.add_.Tensor", self="%row", other="%x"),
        node("out", "aten.neg.default", self="%state"),
    ]
    types = dict.fromkeys(("row", "added", "x"), f32(3)) | {"row": f32(3)}
    given = program(["state", "x"], nodes, ["%out"], types, buffers=("state",))
    assert_expected_inline(
        rewritten(functionalise(), given),
        """\
main(
  %state: f32[2, 3]  # buffer state
  %x: f32[3]  # user
) {
  %row: f32[3] = aten.select.int(self=%state, dim=0, index=1)
  %added: f32[3] = aten.add_.Tensor(self=%row, other=%x)
  %out: f32[2, 3] = aten.neg.default(self=%state)
  return (
    %out
  )
}
=>
main(
  %state: f32[2, 3]  # buffer state
  %x: f32[3]  # user
) {
  %row: f32[3] = aten.select.int(self=%state, dim=0, index=1)
  %added: f32[3] = aten.add_.Tensor [functional](self=%row, other=%x)
  %select_scatter_1: f32[2, 3] = aten.select_scatter.default(self=%state, src=%added, dim=0, index=1)
  %out: f32[2, 3] = aten.neg.default(self=%select_scatter_1)
  return (
    %select_scatter_1  # buffer_mutation state
    %out
  )
}
""",
    )


def test_a_write_to_an_input() -> None:
    nodes = [
        node("scaled", "aten.mul_.Tensor", self="%x", other=2),
        node("out", "aten.sin.default", self="%scaled"),
    ]
    assert_expected_inline(
        rewritten(functionalise(), program(["x"], nodes, ["%out"])),
        """\
main(
  %x: f32[2, 3]  # user
) {
  %scaled: f32[2, 3] = aten.mul_.Tensor(self=%x, other=2)
  %out: f32[2, 3] = aten.sin.default(self=%scaled)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %scaled: f32[2, 3] = aten.mul_.Tensor [functional](self=%x, other=2)
  %out: f32[2, 3] = aten.sin.default(self=%scaled)
  return (
    %scaled  # input_mutation x
    %out
  )
}
""",
    )


def test_a_write_that_the_signature_states_is_no_second_output() -> None:
    nodes = [node("total", "aten.add_.Tensor", self="%state", other="%x")]
    given = program(["state", "x"], nodes, ["%x", "%total"], buffers=("state",))
    stated = OutputSpec(OutputKind.BUFFER_MUTATION, given.signature.outputs[1].value, "state")
    signature = replace(given.signature, outputs=(given.signature.outputs[0], stated))
    made = functionalise().run(replace(given, signature=signature))
    assert [(spec.kind, spec.destination) for spec in made.signature.outputs] == [
        (OutputKind.BUFFER_MUTATION, "state"),
        (OutputKind.USER, None),
    ]


def test_a_write_to_memory_that_another_weight_shares_is_refused() -> None:
    nodes = [node("total", "aten.add_.Tensor", self="%state", other="%x")]
    given = program(["state", "part", "x"], nodes, ["%x"], {"part": f32(3)}, buffers=("state", "part"))
    whole = WeightView("s", DType.FLOAT32, (2, 3), (3, 1))
    views = {"state": whole, "part": WeightView("s", DType.FLOAT32, (3,), (1,))}
    shared = Weights({"s": Storage(24, lambda: np.zeros(24, np.uint8))}, views)
    with pytest.raises(NotFunctional, match="it writes to state, which shares its memory with part"):
        functionalise(shared).run(given)
    apart = replace(shared, views={"state": whole})
    assert len(functionalise(apart).run(given).signature.outputs) == 2
