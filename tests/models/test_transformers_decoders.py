"""Decoders of transformers as they are exported: one segment each, equal to eager call after call."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map

import bridge
from lowering.ir.plan import Placement
from tests.models.decoding import cache_addresses
from tests.models.transformers_decoders import DECODERS, Decoder

ENGINES = ["xla", "iree", "aten"]

# The rows of `make test`: each family, each way to hold a cache, each engine.
QUICK = {
    "gpt2-static": "iree",
    "gemma3-static": "aten",
    "t5-encoded": "xla",
    "qwen3-grown": "xla",
    "whisper-tuples": "xla",
}


@cache
def lowered(name: str) -> tuple[Decoder, torch.export.ExportedProgram, bridge.Lowered]:
    with torch.no_grad():
        decoder = DECODERS[name]()
        program = decoder.export()
    return decoder, program, bridge.lower(program)


def rows() -> list[Any]:
    return [
        pytest.param(name, engine, marks=[] if QUICK.get(name) == engine else pytest.mark.conformance)
        for name in DECODERS
        for engine in ENGINES
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.conformance) for name in DECODERS],
)
def test_a_decoder_is_one_segment(name: str) -> None:
    _, _, found = lowered(name)
    assert found.not_functional == ""
    assert [segment.placement for segment in found.plan.segments] == [Placement.STABLEHLO], found.placement


@pytest.mark.parametrize(("name", "engine"), rows())
def test_a_conversation_equals_eager(name: str, engine: str) -> None:
    """Results, caches passed on and caches in buffers. Once a size is compiled, these stay where they are."""
    decoder, program, found = lowered(name)
    eager, compiled = program.module(), found.compile(engine)
    places = set()
    with torch.no_grad():
        expected = [tree_map(_own, result) for result in decoder.calls(eager)]
        for want, got in zip(expected, decoder.calls(compiled), strict=True):
            check_same(got, want)
            # A new size may run elsewhere until its binary is there.
            if decoder.cached and compiled.report.tiers["dynamic"] + compiled.report.tiers["aten"] == 0:
                places.add(cache_addresses(compiled))
    if not decoder.cached:
        return
    assert len(places) == 1
    for name_, buffer in eager.named_buffers():
        if name_ in compiled.buffers:
            torch.testing.assert_close(torch.as_tensor(compiled.buffers[name_]), buffer, rtol=1e-4, atol=1e-5)


def _own(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def check_same(got: Any, want: Any) -> None:
    (ours, spec), (theirs, expected) = tree_flatten(got), tree_flatten(want)
    assert spec == expected
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
