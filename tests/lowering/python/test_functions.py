"""Graphs that operators run are functions in the source: it exports as the program, and computes the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._higher_order_ops.map import map as map_rows  # pyright: ignore[reportAttributeAccessIssue]
from torch._higher_order_ops.while_loop import while_loop

import bridge
from lowering.python.errors import NoSource
from tests.lowering.python.reexport import canonical, exported_again, module_of


class Branch(torch.nn.Module):
    """A branch in a branch, with a weight of its own."""

    def __init__(self, bound: float = 0.0) -> None:
        super().__init__()
        self.bound = bound
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def less(y: torch.Tensor) -> torch.Tensor:
            return torch.cond(y.sum() > -self.bound, lambda z: z.sin(), lambda z: z.cos() - 1, (y,))

        return torch.cond(x.sum() > self.bound, lambda y: self.layer(y) * 2, less, (x,))


class Branches(torch.nn.Module):
    """Two modules that differ in a number of their functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Branch(0.5), Branch(1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class Scaled(torch.nn.Module):
    """The number is in a branch."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y * self.factor, lambda y: y - self.factor, (x,))


class TwiceScaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Scaled(2.0), Scaled(3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class Loop(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return while_loop(
            lambda i, y: (i < 5) & (y.sum() < 100),
            lambda i, y: (i + 1, y * 2 + 1),
            (torch.zeros((), dtype=torch.int64), x),
        )


class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return map_rows(lambda row, y: row.cumsum(0) * y, x, x.sum())


class NoRows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return map_rows(lambda row: row + 1, x)


X = torch.linspace(-1, 2, 12).reshape(3, 4)
MODELS = {model.__name__: model for model in (Branch, Branches, TwiceScaled, Loop, Rows)}


def _program(model: torch.nn.Module, x: torch.Tensor = X) -> bridge.Program:
    with torch.no_grad():
        return bridge.extract(model.eval(), (x,))


@pytest.mark.parametrize("name", MODELS)
def test_a_function_exports_as_its_graph_and_computes_the_same(name: str) -> None:
    model = MODELS[name]()
    program = _program(model)
    source = program.to_python("Written")
    assert "        def " in source
    assert canonical(exported_again(program, source, "Written")) == canonical(program), source
    written = module_of(source, "Written")
    written.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        for x in (X, -X, X / 8, 20 * X):
            torch.testing.assert_close(written(x), model(x), rtol=0, atol=0)


def test_modules_whose_functions_differ_have_classes_of_their_own() -> None:
    source = _program(TwiceScaled()).to_python()
    assert "return (x * 2.0,)" in source
    assert "return (x * 3.0,)" in source


def test_arguments_are_named_after_weights() -> None:
    assert "def true_graph(x, bias, weight):" in _program(Branch()).to_python()


def test_the_comparison_sees_every_graph() -> None:
    def made(*numbers: float) -> list[str]:
        class Numbers(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.cond(x.sum() > 0, lambda y: y * numbers[0], lambda y: y * numbers[1], (x,))

        return canonical(_program(Numbers()))

    assert made(2.0, 3.0) == made(2.0, 3.0)
    assert made(2.0, 3.0) != made(2.0, 4.0) != made(3.0, 4.0)


def test_a_map_over_no_rows_is_refused() -> None:
    """The exporter of torch takes the first row of a map that is called as the operator that it is."""
    program = _program(NoRows())
    empty = replace(program.graph.values["x"], sizes=(0, 4))  # pyright: ignore[reportArgumentType, reportCallIssue]
    graph = replace(program.graph, values={**program.graph.values, "x": empty})
    with pytest.raises(NoSource, match=r"higher_order\.map_impl runs a graph on no rows"):
        replace(program, graph=graph).to_python()
