"""`bridge visualize`: a file per format, or Mermaid on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bridge.command_line import ok, refused
from tests.bridge.report.test_page import data_of
from tests.bridge.samples import lowered, path_of

FILE = path_of("convnet")
BEGINNINGS = {
    "mmd": b"flowchart TD\n",
    "dot": b"digraph ",
    "svg": b"<?xml",
    "png": b"\x89PNG",
    "html": b"<!doctype html>",
    "json": b'{"label"',
}


@pytest.mark.parametrize("form", BEGINNINGS)
def test_a_file_of_each_format(form: str, tmp_path: Path) -> None:
    out = tmp_path / f"graph.{form}"
    assert ok("visualize", FILE, "-o", out) == ""
    assert out.read_bytes().startswith(BEGINNINGS[form])


def test_without_a_file_mermaid_is_printed() -> None:
    assert ok("visualize", FILE) == lowered("convnet").to_mermaid()
    assert ok("visualize", FILE, "--depth", 1, "--max-nodes", 10) == lowered("convnet").to_mermaid(1, 10)


def test_a_program_and_an_artifact_are_drawn_too(tmp_path: Path) -> None:
    made = lowered("convnet")
    made.save(tmp_path / "a.bridge")
    made.program.save(tmp_path / "p.json")
    assert ok("visualize", tmp_path / "a.bridge") == made.to_mermaid()
    assert "aten.conv2d.default" in ok("visualize", tmp_path / "p.json")


def test_viewers_get_every_node(tmp_path: Path) -> None:
    for form in ("html", "json"):
        ok("visualize", FILE, "-o", tmp_path / f"g.{form}")
    names = {node.name for node in lowered("convnet").functional.nodes}
    graph = json.loads((tmp_path / "g.json").read_text())["graphs"][0]
    assert names <= {node["id"] for node in graph["nodes"]}
    shown = data_of((tmp_path / "g.html").read_text())["graph"]["nodes"]
    assert names <= {node["title"].rpartition(": ")[2] for node in shown}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "g.gif"], "g.gif: a picture is one of .mmd, .dot, .svg, .png, .html, .json"),
        (["-o", "g.html", "--depth", 1], "--max-nodes and --depth are for pictures"),
        (["-o", "g.json", "--max-nodes", 9], "--max-nodes and --depth are for pictures"),
        (["--max-nodes", 2], "a picture has 3 boxes at least, not 2"),
        (["--depth", -1], "the depth of a picture is 0 or more, not -1"),
        (["-o", "missing/g.mmd"], "cannot write missing/g.mmd: No such file or directory"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(words: list[object], message: str) -> None:
    refused(message, "visualize", FILE, *words)
