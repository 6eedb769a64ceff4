"""Profiles of small programs on the fake engine, and one written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from bridge.compiled.profile import Profile, Span
from lowering.ir.plan import Placement
from tests.runtime.fakes import compiled, node, program, tensor

T = tensor(4, 4)
STABLEHLO, ATEN = Placement.STABLEHLO, Placement.ATEN


def mixed(*kernels: Span) -> Profile:
    """A product on an engine; then a sum, twice, and a product on ATen. `kernels`: of the engine."""
    nodes = [
        node("aten.mm.default", "a", self="%x", mat2="%x"),
        node("aten.add.Tensor", "b", self="%a", other="%x"),
        node("aten.add.Tensor", "c", self="%b", other="%x"),
        node("aten.t.default", "d", self="%c"),
        node("aten.mm.default", "e", self="%d", mat2="%b"),
    ]
    made = program({"x": T}, nodes, ["%e"], dict.fromkeys("abcde", T))
    f, _ = compiled(made, (STABLEHLO, ["a"]), (ATEN, ["b", "c", "d", "e"]))
    profile = f.profile(torch.ones(4, 4))
    return replace(profile, spans=(*profile.spans, *kernels))


def kernel(name: str, start: float, seconds: float, lane: int = 0, nodes: Sequence[str] = ("a",)) -> Span:
    return Span("kernel", name, start, seconds, 0, tuple(nodes), lane)
