"""`bridge source` prints or writes a program as Python."""

from __future__ import annotations

from pathlib import Path

import bridge
from tests.bridge.command_line import ok, refused
from tests.bridge.samples import path_of
from tests.lowering.python.reexport import module_of


def test_prints_the_source_of_a_file() -> None:
    out = ok("source", path_of("mlp"), "--name", "Mlp")
    assert out == bridge.read_program(path_of("mlp")).to_python("Mlp")
    assert [*module_of(out, "Mlp").state_dict()] == [
        spec.fqn for spec in bridge.read_program(path_of("mlp")).weights.values()
    ]


def test_writes_the_source_of_a_program(tmp_path: Path) -> None:
    program = bridge.read_program(path_of("convnet"))
    program.save(tmp_path / "net.json")
    assert ok("source", tmp_path / "net.json", "-o", tmp_path / "net.py") == ""
    assert (tmp_path / "net.py").read_text() == program.to_python()


def test_refuses_in_one_sentence(tmp_path: Path) -> None:
    text = bridge.read_program(path_of("branch")).save(tmp_path / "branch.json").read_text()
    (tmp_path / "scan.json").write_text(text.replace("higher_order.cond", "higher_order.scan"))
    refused("higher_order.scan runs a graph", "source", tmp_path / "scan.json")
    refused("cannot write", "source", path_of("mlp"), "-o", tmp_path / "absent" / "net.py")
