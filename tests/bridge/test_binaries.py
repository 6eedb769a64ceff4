"""The key of a binary changes with all that the binary depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.binaries import Site, after_passes, cache_key
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass, stablehlo_pipeline
from lowering.targets.target import TargetOptions
from tests.bridge.engines import TestEngine
from tests.bridge.samples import lowered

MODULE = lowered("mlp").module(0)
TARGET = TargetOptions()


class Engine(TestEngine):
    def __init__(self, **changes: Any) -> None:
        super().__init__(lowered("mlp"))
        self.changes = changes

    def version(self) -> str:
        return self.changes.get("version", "1")

    def flags(self, target: TargetOptions) -> tuple[str, ...]:
        return self.changes.get("flags", ())

    def pipeline(self, target: TargetOptions) -> Any:
        return self.changes.get("pipeline", stablehlo_pipeline("test"))


class Other(Engine):
    name = "xla"


def test_the_same_has_the_same_key() -> None:
    assert cache_key(MODULE, Engine(), TARGET) == cache_key(MODULE, Engine(), TargetOptions())


@pytest.mark.parametrize(
    ("module", "engine", "target"),
    [
        (replace(MODULE, code=MODULE.code + b"\0"), Engine(), TARGET),
        (replace(MODULE, inputs=MODULE.inputs[1:]), Engine(), TARGET),
        (MODULE, Engine(version="2"), TARGET),
        (MODULE, Engine(flags=("-O3",)), TARGET),
        (MODULE, Engine(pipeline=stablehlo_pipeline("other")), TARGET),
        (MODULE, Other(), TARGET),
        (MODULE, Engine(), TargetOptions("cuda")),
        (MODULE, Engine(), TargetOptions(options={"a": "b"})),
    ],
    ids=["code", "ports", "version", "flags", "pipeline", "engine", "device", "options"],
)
def test_anything_else_has_another(module: Any, engine: Any, target: TargetOptions) -> None:
    assert cache_key(module, engine, target) != cache_key(MODULE, Engine(), TARGET)


def test_a_module_goes_through_its_engines_pipeline() -> None:
    pipeline = stablehlo_pipeline("test", stablehlo_pass("matmul-weights-in-out"))
    made = after_passes(MODULE, Site(Engine(pipeline=pipeline), TARGET))
    assert text_of(made.code).count("stablehlo.transpose") > text_of(MODULE.code).count("stablehlo.transpose")
    assert after_passes(MODULE, Site(Engine(), TARGET)).inputs == MODULE.inputs
