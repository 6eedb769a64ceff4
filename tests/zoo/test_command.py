"""`python -m tests`: its arguments, its exit status, and the reports that it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from lowering.ir.program import Program
from tests import __main__ as command
from tests.models import registry
from tests.models.registry import Entry, models, register_model, selected
from tests.zoo import inspection, pages, processes
from tests.zoo.inspection import Finding
from tests.zoo.processes import Worker

ROOT = Path(__file__).parents[2]


def finding(name: str = "toy", **more: Any) -> Finding:
    return Finding(name, "A toy", ["graph"], "float32[2]", engines=["xla"], segments=1, **more)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['tests', '--help']\n"
        "import atexit, runpy\n"
        "heavy = ('torch', 'jax', 'iree', 'bridge')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "runpy.run_module('tests', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--list-models" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--category", "atention"], "no category is named 'atention'; did you mean attention?"),
        (["--model", "bert-bas"], "no model is named 'bert-bas'; did you mean bert-base?"),
        (["--model", "qqqqqq"], "no model is named 'qqqqqq'\n"),
        (["--engine", "xlaa"], "no engine is named 'xlaa'; did you mean xla?"),
        (["--engine", ""], "no engine is given"),
        (["--outputs"], "unrecognized arguments: --outputs"),
        (["--model", "gcn", "--output", str(command.DOCS)], "docs/zoo is written by a run of all models"),
        (["--output", str(command.DOCS)], "docs/zoo is written by a run of all models"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments)
    assert exit_.value.code == 2
    assert sentence in capsys.readouterr().err


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list-models", "--category", "graph,audio"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "gcn: GCN: convolutions over a graph, a class per node" in listed
    assert len(listed) == len(selected([], ["graph", "audio"])) < len(models())
    assert command.main(["--list-categories"]) == 0
    assert "graph: " in capsys.readouterr().out


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of models is this one, which has imported everything."""

    def find(worker: Worker, name: str) -> Finding:
        assert worker.command[:3] == [sys.executable, "-m", "tests.zoo.inspection"]
        monkeypatch.setattr("sys.stdin", StringIO(f"{name}\n"))
        with redirect_stdout(StringIO()) as out:
            inspection.main(worker.command[3:])
        return Finding(**json.loads(out.getvalue()))

    monkeypatch.setattr(Worker, "find", find)


@pytest.mark.usefixtures("one_process")
def test_a_model_goes_through_and_has_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, folder = tmp_path / "record.jsonl", tmp_path / "reports"
    arguments = ["--model", "highway", "--engine", "aten", "--output", str(folder), "--record", str(record)]
    assert command.main([*arguments, "--source"]) == 0
    assert "1 of 1: highway: PASSED" in capsys.readouterr().out
    page = (folder / "highway.md").read_text()
    for text in (
        "| inputs | `float32[4, 16]` |",
        "| source | equal |",
        "| aten | output 0 | `float32[4, 16]` | 0 | 0 | PASSED |",
        "```mermaid\nflowchart TD",
        'pie showData\n  "aten.linear.default" : 8',
        "| `makes.0.weight` | parameter | `f32[16, 16]` | 256 |",
    ):
        assert text in page
    row = (folder / "SUMMARY.md").read_text()
    assert "| [highway](highway.md) | 2,176 | " in row


def test_a_run_goes_on_from_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find(worker: Worker, name: str) -> Finding:
        asked.append(name)
        return finding(name, source="equal" if "--source" in worker.command else "")

    monkeypatch.setattr(Worker, "find", find)
    record = tmp_path / "record.jsonl"
    assert len(list(processes.findings(["a", "b"], ["xla"], False, record))) == 2
    assert len(list(processes.findings(["a", "c"], ["xla"], False, record))) == 2
    assert asked == ["a", "b", "c"]
    # It is asked more than is known.
    list(processes.findings(["a"], ["xla"], True, record))
    list(processes.findings(["b"], ["xla", "iree"], False, record))
    assert asked == ["a", "b", "c", "a", "b"]
    assert {found.model: found.source for found in processes.recorded(record)}["a"] == "equal"


def test_a_failure_is_status_1_and_in_the_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    difference = {
        "engine": "xla",
        "name": "output 0",
        "type": "f",
        "error": 1.0,
        "mean": 0.5,
        "problem": "differs",
    }
    bad = finding("gcn", problems=["xla: output 0 differs"], differences=[difference])
    monkeypatch.setattr(Worker, "find", lambda *_: bad)
    assert command.main(["--model", "gcn", "--output", str(tmp_path)]) == 1
    assert "Of 1 models, 0 passed." in (tmp_path / "SUMMARY.md").read_text()
    assert "- gcn: `xla: output 0 differs`" in (tmp_path / "SUMMARY.md").read_text()
    assert "| xla | output 0 | `f` | 1 | 0.5 | FAILED |" in (tmp_path / "gcn.md").read_text()


# Answers two models, then dies of a third; says how many it has answered.
CHILD = """
import json, sys
for count, line in enumerate(sys.stdin):
    if line == "bad\\n":
        sys.exit("out of luck")
    print(json.dumps({"model": line.strip(), "description": str(count), "categories": []}), flush=True)
"""


def test_a_process_is_replaced_when_it_dies_or_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(["xla"], False, (tmp_path / "errors").open("w+"))
    worker.command = [sys.executable, "-c", CHILD]
    assert [worker.find(name).description for name in "ab"] == ["0", "1"]
    assert worker.find("bad").problems == ["its process ended with 1: out of luck"]
    assert [worker.find(name).description for name in "ab"] == ["0", "1"]
    monkeypatch.setattr(processes, "KEPT", 1)
    assert [worker.find(name).description for name in "cde"] == ["2", "0", "0"]
    monkeypatch.setattr(processes, "SECONDS", 0)
    worker.command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    assert worker.find("f").problems == ["its process ended with -9: no message"]
    worker.end()


def test_an_error_of_a_model_is_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> Any:
        raise RuntimeError("no\nluck")

    monkeypatch.setitem(registry._ENTRIES, "toy", Entry("toy", build, ((1,),), ("graph",), "A toy"))
    assert inspection.inspect("toy", ["aten"], False).problems == ["RuntimeError: no luck"]


class Zeros(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0


def test_a_reason_that_does_not_hold_and_a_constant_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("toy", Zeros, ((3,),), ("graph",), "A toy", apart="of old", apart_on=("aten",))
    monkeypatch.setitem(registry._ENTRIES, "toy", entry)
    assert inspection.inspect("toy", ["aten"], False).problems == [
        "aten: one segment, though it has a reason for more",
        "output 0 is constant: its comparison says little",
    ]


def test_source_that_is_another_program_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x + 0
"""
    monkeypatch.setattr(Program, "to_python", lambda *_: source)
    monkeypatch.setitem(registry._ENTRIES, "toy", Entry("toy", Zeros, ((3,),), ("graph",), "A toy"))
    found = inspection.inspect("toy", ["aten"], True)
    assert found.source.startswith("differs: ")
    assert "aten.add.Tensor" in found.source.partition(" in place of ")[0]
    assert "aten.mul.Tensor" in found.source.partition(" in place of ")[2]
    assert f"source: {found.source}" in found.problems


def test_tables_are_cut_and_say_so() -> None:
    found = finding(node_rows=[["n", "t", "f32[]", "", "stablehlo"]], left_out={"nodes": 1234})
    assert "1,234 more nodes are left out." in pages.page(found)
    assert "left out" not in pages.page(finding())


def test_wrong_registrations_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown categories: \\['atention'\\]"):
        register_model("toy", ((1,),), ("atention",), "A toy")
    with pytest.raises(ValueError, match="two models gcn"):
        register_model("gcn", ((1,),), ("graph",), "A toy")
    with pytest.raises(ValueError, match="no published size"):
        models()["gcn"].build(small=False)
