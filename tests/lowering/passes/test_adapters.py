"""Adapters in a program: IR in, IR out, as text."""

from __future__ import annotations

import pytest
import torch

from lowering.frontend.exported_program import from_exported_program
from lowering.ir.program import InputKind, Program
from lowering.ir.types import DType, TensorType
from lowering.ir.validate import validate
from lowering.passes.adapters import AdaptedLayer, adapter_names, calls_of, with_adapters
from lowering.passes.pipelines import adapted, canonical


def functional(made: torch.nn.Module, *given: torch.Tensor) -> Program:
    program, weights = from_exported_program(torch.export.export(made.eval(), given))
    return canonical(weights).run(program)


def text(program: Program) -> list[str]:
    lines = (line.split("  #")[0].strip() for line in str(program).splitlines())
    return [line for line in lines if line.startswith("%") and "=" in line]


LAYER = AdaptedLayer("weight", "", ("weight",), (2, 4), (3, 2), DType.FLOAT32)


def test_a_linear_layer() -> None:
    program = with_adapters(functional(torch.nn.Linear(4, 3), torch.ones(5, 4)), [LAYER])
    validate(program, functional=True)
    assert [node.target for node in program.nodes] == [
        "aten.linear.default",
        "aten.matmul.default",
        "aten.matmul.default",
        "aten.mul.Tensor",
        "aten.add.Tensor",
    ]
    inputs = [spec for spec in program.signature.inputs if spec.kind is InputKind.ADAPTER]
    assert tuple(spec.fqn for spec in inputs) == adapter_names("weight")
    types = [program.graph.values[spec.name] for spec in inputs]
    assert types == list(LAYER.inputs.values())
    assert [type_.sizes for type_ in types if isinstance(type_, TensorType)] == [(4, 2), (2, 3), ()]
    before = functional(torch.nn.Linear(4, 3), torch.ones(5, 4))
    assert program.graph.outputs == before.graph.outputs
    (result,) = before.nodes[0].results()
    assert program.graph.values[result] == before.graph.values[result]


class Twice(torch.nn.Module):
    """A layer that is called twice, once on transposed weights through a product."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.linear(x, self.weight)
        z = torch.mm(x, self.weight.t()) + torch.matmul(x, self.weight.transpose(0, 1))
        return y + z + torch.mm(x, self.weight.permute(1, 0)) + self.weight.sum()


def test_every_call_of_a_layer() -> None:
    program = functional(Twice(), torch.ones(5, 4))
    found = calls_of(program, ("weight",), "")
    assert [call.node.target for call in found] == [
        "aten.linear.default",
        "aten.mm.default",
        "aten.matmul.default",
        "aten.mm.default",
    ]
    assert not any(call.in_out for call in found)
    made = with_adapters(program, [LAYER])
    validate(made, functional=True)
    assert len(made.nodes) == len(program.nodes) + 4 * 4


def test_matrices_of_another_dtype_compute_in_theirs() -> None:
    program = functional(torch.nn.Linear(4, 3).bfloat16(), torch.ones(5, 4).bfloat16())
    made = with_adapters(program, [LAYER])
    validate(made, functional=True)
    assert [node.target for node in made.nodes] == [
        "aten.linear.default",
        "aten._to_copy.default",
        "aten.matmul.default",
        "aten.matmul.default",
        "aten.mul.Tensor",
        "aten.add.Tensor",
        "aten._to_copy.default",
    ]


@pytest.mark.parametrize("padding", [1, "same"])
def test_a_convolution(padding: int | str) -> None:
    program = functional(torch.nn.Conv2d(3, 4, 3, padding=padding), torch.ones(1, 3, 8, 8))
    layer = AdaptedLayer("weight", "", ("weight",), (2, 3, 3, 3), (4, 2, 1, 1), DType.FLOAT32)
    made = with_adapters(program, [layer])
    validate(made, functional=True)
    own = "aten.conv2d.padding" if padding == "same" else "aten.conv2d.default"
    assert [node.target for node in made.nodes][:3] == [own, own, "aten.conv2d.default"]


def test_a_layer_by_its_path_where_another_has_its_weight() -> None:
    program = functional(torch.nn.Linear(4, 3), torch.ones(5, 4))
    assert len(calls_of(program, ("weight", "other.weight"), "")) == 1
    assert calls_of(program, ("weight", "other.weight"), "other") == []


def test_without_layers_a_program_stays() -> None:
    program = functional(torch.nn.Linear(4, 3), torch.ones(5, 4))
    assert adapted().run(program) == program
