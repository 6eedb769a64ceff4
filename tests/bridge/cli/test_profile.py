"""`bridge profile`: parts of a call, kernels of engines with their nodes, a trace."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import profile as subject
from tests.bridge.command_line import ok, refused
from tests.bridge.report.test_page import data_of
from tests.bridge.samples import lowered, path_of

MLP = "mlp"


def profiled(engine: str, *words: object) -> dict[str, Any]:
    return json.loads(ok("profile", path_of(MLP), "-e", engine, "--calls", 2, "--json", *words))


@pytest.mark.parametrize("engine", ["aten", "xla"])
def test_every_node_is_in_a_part(engine: str) -> None:
    data = profiled(engine)
    nodes = Counter(node for part in data["parts"] for node in part["nodes"])
    assert nodes == {node.name: 1 for node in lowered(MLP).functional.graph.nodes}
    assert sum(part["share"] for part in data["parts"]) == pytest.approx(1)
    assert data["sum"] + sum(p["seconds"] for p in data["parts"] if p["kind"] == "between") == pytest.approx(
        data["seconds"]
    )
    assert data["peak"]["flops"] > 0


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_kernels_name_nodes_and_lines(engine: str) -> None:
    data = profiled(engine)
    known = {node.name: node for node in lowered(MLP).functional.graph.nodes}
    products = {name for name, node in known.items() if "linear" in node.target}
    assert products <= {node for kernel in data["kernels"] for node in kernel["nodes"]} <= known.keys()
    assert sum(kernel["share"] for kernel in data["kernels"]) == pytest.approx(1)
    for row in data["dearest"]:
        for where in row["where"]:
            location = known[where["node"]].location
            assert (where["source"], where["module"]) == (str(location), location.module_path)


def test_the_trace_is_written(tmp_path: Path) -> None:
    out = ok("profile", path_of(MLP), "-e", "xla", "--calls", 1, "--trace", tmp_path / "trace.json")
    assert "segment 0 on xla" in out
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    counts = Counter(event["ph"] for event in events)
    assert counts["B"] == counts["E"] > 0
    assert {"step", "import", "execute", "kernel", "bind", "results"} <= {e.get("cat") for e in events}


def test_without_a_folder_no_trace(tmp_path: Path) -> None:
    words = ("profile", path_of(MLP), "-e", "aten", "--calls", 1, "--trace", tmp_path / "none" / "trace.json")
    refused("cannot write", *words)


def test_a_program_that_runs_as_it_is_has_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(lowered(MLP), not_functional="two weights share memory")
    monkeypatch.setattr(subject, "open_source", lambda *args, **kwargs: made)
    data = profiled("aten")
    nodes = {node for part in data["parts"] for node in part["nodes"]}
    assert nodes == {node.name for node in made.program.graph.nodes}


def test_a_page_has_the_profile_and_the_graph(tmp_path: Path) -> None:
    file = tmp_path / "p.html"
    ok("profile", path_of(MLP), "-e", "aten", "--calls", 1, "--html", file)
    data = data_of(file.read_text())
    assert data.keys() == {"title", "graph", "profile"}
    titles = [table["title"] for table in data["profile"]]
    assert titles == ["aten: a call", "aten: its parts", "aten: the dearest runs"]
    refused("is an .html file", "profile", path_of(MLP), "--html", tmp_path / "p.txt")
