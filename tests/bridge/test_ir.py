"""Programs as values: extracted, saved, read, checked and executed, without weights of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import bridge
from bridge.errors import NotLowered
from bridge.ir import InputKind, InvalidProgram, JSONError, Program
from tests.bridge.command_line import bridge_cli, ok, refused
from tests.bridge.samples import NAMES, path_of

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
ROOT = Path(__file__).parents[2]


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU())
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, scale: float = 2.0) -> dict[str, torch.Tensor]:
        y = self.head(self.body(x)) * scale
        return {"logits": y, "label": y.argmax(-1)}


class Gap(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x @ x.t()).abs()


def trained() -> Classifier:
    torch.manual_seed(0)
    return Classifier().eval()


def on_meta() -> Program:
    with torch.device("meta"):
        return bridge.extract(Classifier().eval(), (torch.empty(3, 4),), name="classifier")


def test_the_whole_path(tmp_path: Path) -> None:
    """Meta device, JSON, weights of both formats, validated, executed, verified against the module."""
    program = Program.load(on_meta().save(tmp_path / "classifier.json"))
    assert program == on_meta()
    real = trained()
    torch.save(real.state_dict(), tmp_path / "w.pt")
    save_file(real.state_dict(), tmp_path / "w.safetensors")
    with torch.no_grad():
        expected = real(X)
    for weights in (tmp_path / "w.pt", tmp_path / "w.safetensors"):
        assert bridge.validate_weights(program, weights)
        for engine in ("aten", "xla", "iree"):
            found = bridge.execute(program, (X,), weights=weights, engine=engine)
            torch.testing.assert_close(found, expected)
        report = bridge.verify(program, (X,), engines=["xla", "iree"], weights=weights, against=real)
        assert report.passed
        assert report.outputs().count("PASSED") == 4
    wrong = {**real.state_dict(), "more": torch.ones(1), "head.bias": torch.ones(3)}
    del wrong["head.weight"]
    wrong["body.0.bias"] = wrong["body.0.bias"].double()
    check = bridge.validate_weights(program, wrong)
    assert (check.missing, check.unexpected) == (("head.weight",), ("more",))
    assert check.sizes == {"head.bias": ((2,), (3,))}
    assert check.dtypes == {"body.0.bias": ("float32", "float64")}


def test_the_whole_path_on_the_command_line(tmp_path: Path) -> None:
    model, weights = on_meta().save(tmp_path / "m.json"), tmp_path / "w.safetensors"
    real = trained()
    save_file(real.state_dict(), weights)
    np.save(tmp_path / "x.npy", X.numpy())
    assert "74 parameters" in ok("info", model)
    ok("run", model, "-e", "xla", "--weights", weights, "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npz")
    with torch.no_grad(), np.load(tmp_path / "y.npz") as found:
        np.testing.assert_allclose(found["outputs/logits"], real(X)["logits"].numpy(), 1e-4, 1e-5)
    assert ok("verify", model, "-e", "xla", "--weights", weights).endswith("PASSED\n")
    del (few := dict(real.state_dict()))["head.bias"]
    save_file(few, weights)
    status, _, error = bridge_cli("verify", model, "-e", "xla", "--weights", weights)
    assert status == 1
    assert error == "bridge: the weights do not fit the program: missing: head.bias\n"


def test_what_a_program_shows() -> None:
    program = on_meta()
    assert program.name == "classifier"
    assert list(program.inputs) == ["x"]
    assert [str(type_.dtype) for type_ in program.outputs] == ["float32", "int64"]  # pyright: ignore
    head = next(spec for spec in program.weights.values() if spec.fqn == "head.weight")
    assert (head.kind, head.type.sizes, head.type.requires_grad) == (InputKind.PARAMETER, (2, 8), True)
    (user,) = bridge.ir.users(program.nodes)[head.name]
    assert user.target == "aten.linear.default"
    assert user.location.module_path
    (result,) = user.results()
    assert bridge.ir.producers(program.nodes)[result] == user
    assert "x" not in bridge.ir.producers(program.nodes)
    relu = next(node for node in program.nodes if "relu" in node.target)
    assert relu.attributes == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_the_round_trip(name: str, tmp_path: Path) -> None:
    program = bridge.read_program(path_of(name))
    assert bridge.read_program(program.save(tmp_path / "p.json")) == program
    assert Program.from_json(json.loads(json.dumps(program.to_json()))) == program


def test_an_artifact_is_read_too(tmp_path: Path) -> None:
    artifact = bridge.lower(path_of("mlp")).save(tmp_path / "m.bridge")
    assert bridge.read_program(artifact) == bridge.read_program(path_of("mlp"))


def test_the_document_of_a_file(tmp_path: Path) -> None:
    document = bridge.read_schema(path_of("mlp"))
    nodes = document["graph_module"]["graph"]["nodes"]
    assert "torch.ops.aten.linear.default" in {node["target"] for node in nodes}
    with pytest.raises(bridge.BridgeError, match="has no model 'modl'; it has model; did you mean `model`"):
        bridge.read_schema(path_of("mlp"), "modl")
    (tmp_path / "a.pt2").write_text("no")
    with pytest.raises(bridge.BridgeError, match=r"a\.pt2"):
        bridge.read_schema(tmp_path / "a.pt2")


def test_no_torch_is_imported(tmp_path: Path) -> None:
    path = on_meta().save(tmp_path / "m.json")
    code = (
        "import sys, bridge; program = bridge.read_program(sys.argv[1]); program.validate(); print(program)\n"
        "assert not {'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, stdout=subprocess.DEVNULL)


def test_every_broken_rule_is_named_at_once() -> None:
    program = on_meta()
    first = replace(program.nodes[0], outputs=("again",))
    nodes = (first, first, *program.nodes[1:])
    broken = replace(program, graph=replace(program.graph, nodes=nodes))
    with pytest.raises(InvalidProgram) as caught:
        broken.validate()
    assert {"defined_once", "used_after_definition", "typed"} <= set(caught.value.rules)
    assert len(caught.value.rules) == len(caught.value.violations)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "it is not JSON"), ("[]", r"\$"), ("[" * 100_000, "it is not JSON"), ('{"format": 99}', "format")],
)
def test_a_file_that_is_no_program(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(JSONError, match=words) as caught:
        Program.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    refused(f"{path}: ", "info", path)


def test_strict() -> None:
    with pytest.raises(NotLowered, match=r"4 nodes would run on ATen:\n  linalg_eigvals") as caught:
        bridge.extract(Gap(), (X,), strict=True)
    assert any("aten.linalg_eigvals.default" in gap for gap in caught.value.gaps)
    with pytest.raises(NotLowered):
        bridge.lower(Gap(), (X,), strict=True)
    assert bridge.lower(trained(), (X,), strict=True).plan.reasons == {}


def test_strict_on_the_command_line(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Gap(), (X,)), tmp_path / "gap.pt2")
    status, _, error = bridge_cli("lower", tmp_path / "gap.pt2", "--strict", "-e", "none")
    assert (status, (tmp_path / "gap.bridge").exists()) == (1, False)
    assert "would run on ATen" in error
    assert bridge_cli("ops", "--missing", tmp_path / "gap.pt2")[0] == 1


def test_info_writes_json(tmp_path: Path) -> None:
    assert ok("info", path_of("mlp"), "-o", tmp_path / "info.json") == ""
    data = json.loads((tmp_path / "info.json").read_text())
    assert data["operators"]["aten.linear.default"] == 2
    assert data["weights"]["parameters"] > 0
    ok("info", path_of("mlp"), "--program", "-o", tmp_path / "p.json")
    assert Program.load(tmp_path / "p.json") == bridge.read_program(path_of("mlp"))


def test_reprs_are_short() -> None:
    lowered = bridge.lower(path_of("mlp"))
    assert repr(lowered) == "<Lowered 1 segment, 5 nodes on StableHLO, 0 on ATen, 4 weights>"
    assert re.fullmatch(r"<Program \d+ nodes, 1 inputs, 4 weights, torch [\d.+a-z]+>", repr(lowered.program))


def test_the_page_has_every_class_and_field() -> None:
    page = (ROOT / "docs/reference/ir.md").read_text()
    for name in bridge.ir.__all__:
        item: Any = getattr(bridge.ir, name)
        assert f"`{name}" in page, name
        if is_dataclass(item):
            section = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
            assert section, name
            for field in fields(item):
                assert f"`{field.name}`" in section[0], f"{name}.{field.name}"
