"""Passes over a `Program`: passes that rewrite its graph alone, and pipelines with the checks of the IR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lowering.ir.program import Graph, Program
from lowering.ir.validate import validate
from lowering.passes.pipeline import Pass, Pipeline

#: No node writes to its arguments.
FUNCTIONAL = "functional"


def graph_pass(name: str, rewrite: Callable[[Graph], Graph], summary: str, **rest: Any) -> Pass[Program]:
    """A pass that leaves the program's contract as it is. `rest`: as `Pass` takes it."""
    return Pass(name, lambda program: with_graph(program, rewrite(program.graph)), summary, **rest)


def with_graph(program: Program, graph: Graph) -> Program:
    """The program with another graph, which has the same inputs, and the same outputs by other names."""
    if graph is program.graph:
        return program
    specs = zip(program.signature.outputs, graph.outputs, strict=True)
    outputs = tuple(replace(spec, value=value) for spec, value in specs)
    return replace(program, graph=graph, signature=replace(program.signature, outputs=outputs))


def program_pipeline(name: str, *passes: Pass[Program], given: tuple[str, ...] = ()) -> Pipeline[Program]:
    """A pipeline over programs: after each pass the rules of the IR hold."""
    properties = {FUNCTIONAL: lambda program: validate(program, functional=True)}
    return Pipeline(name, "program", passes, validate, str, properties, given)
