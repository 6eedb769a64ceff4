"""`bridge passes` lists each pass of each pipeline."""

from __future__ import annotations

import json

from bridge.pipelines import all_pipelines, described
from tests.bridge.command_line import ok


def test_each_pass_is_a_line_under_its_pipeline() -> None:
    blocks = ok("passes").rstrip("\n").split("\n\n")
    for block, (_, pipeline) in zip(blocks, all_pipelines(), strict=True):
        head, *lines = block.splitlines()
        assert head.startswith(f"{pipeline.name}: on a {pipeline.subject}")
        assert [line.split()[0].rstrip(":") for line in lines if not line.startswith("    ")] == [
            item.name for item in pipeline.passes
        ]
    assert "\n    requires functional" in next(block for block in blocks if block.startswith("canonical"))


def test_the_list_as_json() -> None:
    found = json.loads(ok("passes", "--json"))
    assert found == {"pipelines": described()}
    canonical = next(pipeline for pipeline in found["pipelines"] if pipeline["name"] == "canonical")
    assert canonical["target"] is None
    assert next(item for item in canonical["passes"] if item["name"] == "functionalise") == {
        "name": "functionalise",
        "options": {},
        "summary": "Turn writes into values, and what they write to buffers and inputs into outputs.",
        "requires": [],
        "ensures": ["functional"],
        "required": True,
    }
