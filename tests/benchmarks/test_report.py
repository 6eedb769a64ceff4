"""The tables of docs/benchmarks.md from given rows, and the runs that go on where they ended."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from benchmarks import models, records, report
from benchmarks.processes import Outcome, _problem, one_line, run_child
from benchmarks.sides import OTHERS, OURS, SIDES

_KEY = {"dtype": "float32", "batch": 1, "pinned": False, "small": False, "machine": "a machine"}
_DONE = {"versions": {"torch": "2"}, "date": "2026-11-20"}


def _side(median: float, differs: str = "") -> dict[str, Any]:
    return {"ratio": [median - 0.01, median, median + 0.01], "differs": differs, "pairs": 30}


def _row(model: str, **sides: dict[str, Any]) -> dict[str, Any]:
    return {**_KEY, **_DONE, "model": model, "eager_ms": 12.345, "sides": sides}


def test_the_table_of_models() -> None:
    rows = [
        _row("bert", xla=_side(0.8), openvino=_side(0.7), compile={"reason": "Error: a|b in /tmp/x1/b.onnx"}),
        _row("resnet50", xla=_side(0.5, "call 1 output 0 is odd"), openvino=_side(1.2)),
    ]
    assert report.models(rows) == (
        "### float32, batch 1, all cores\n"
        "\n"
        "| model | eager ms | torch.compile | OpenVINO | bridge, xla |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| resnet50 | 12.3 |  | 1.20 (1.19–1.21) | 0.50 (0.49–0.51) ≠ |\n"
        "| bert | 12.3 | cannot | **0.70** (0.69–0.71) | 0.80 (0.79–0.81) |\n"
        "\n"
        "Fastest: eager 1, OpenVINO 1. Geometric means: OpenVINO 0.92, bridge, xla 0.80 (1 of 2).\n"
        "\n"
        "- torch.compile, bert: Error: a/b in b.onnx\n"
        "- bridge, xla, resnet50: ≠ call 1 output 0 is odd\n"
        "\n"
        "Measured 2026-11-20 on a machine; torch 2 (bridge: a digest of its sources)."
    )


def test_ours_is_compared_with_the_fastest_of_the_others() -> None:
    rows = [
        _row("bert", auto=_side(0.5), openvino=_side(1.0), onnxruntime=_side(1.25)),
        _row("gpt2", auto=_side(0.6), openvino=_side(0.3, "wrong"), onnxruntime=_side(0.3)),
    ]
    assert "bridge, auto to the fastest of the others: 1.00; above 1: gpt2 2.00." in report.models(rows)
    assert "fastest of the others" not in report.models([_row("bert", auto=_side(0.5), xla=_side(0.4))])


def test_the_mean_over_all_tables() -> None:
    slow = {**_row("bert", auto=_side(0.8), openvino=_side(0.2)), "batch": 8}
    pinned = {**_row("bert", auto=_side(0.8), openvino=_side(0.1)), "pinned": True}
    table = report.models([_row("bert", auto=_side(0.5), openvino=_side(0.5)), slow, pinned])
    said = "Over 2 rows on all cores, bridge, auto to the fastest of the others: 2.000 as a geometric mean."
    assert said in table


def test_what_auto_took() -> None:
    took = [{**_side(0.5), "took": name} for name in ("iree", "aten, packed", "iree")]
    models = ("resnet50", "bert", "gpt2")
    table = report.models([_row(model, auto=side) for model, side in zip(models, took, strict=True)])
    assert "- bridge, auto took iree for resnet50, gpt2; aten, packed for bert." in table


def test_later_rows_replace_sides_not_rows() -> None:
    (row,) = report.merged([_row("bert", xla=_side(0.8), iree=_side(0.9)), _row("bert", xla=_side(0.6))])
    assert {name: side["ratio"][1] for name, side in row["sides"].items()} == {"xla": 0.6, "iree": 0.9}


def test_a_row_whose_process_died_has_no_time_of_eager() -> None:
    row = _row("bert", xla={"reason": "the process was ended by SIGSEGV"})
    del row["eager_ms"]
    assert "| bert |  | cannot |" in report.models([row])


def test_the_table_of_starting() -> None:
    figures = {"seconds": 1.234, "megabytes": 56.7}
    sides = {
        "xla": {"cold": {**figures, "compile_seconds": 0.5}, "warm": figures},
        "auto": {"reason": "cold: no such engine"},
    }
    table = report.start([{**_KEY, **_DONE, "model": "mlp", "sides": {k: v}} for k, v in sides.items()])
    assert "| mlp | bridge, xla | 1.23 | 0.50 | 1.23 | 57 | 57 |" in table
    assert "| mlp | bridge, auto | cannot | cold: no such engine |  |  |  |" in table


def test_the_table_of_lowering() -> None:
    sides = {"bridge": {"seconds": 0.15, "megabytes": 22.0}, "torch-mlir": {"reason": "it said no"}}
    table = report.lowering([{**_KEY, **_DONE, "model": "bert", "sides": sides}])
    assert "| bert | 0.15 s, 22 MB | cannot |\n\n- torch-mlir, bert: it said no" in table


@pytest.mark.parametrize("name", ["models", "start", "lowering"])
def test_the_page_has_a_place_for_each_table(name: str) -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    once = report.replaced(page, name, "a table")
    assert f"<!-- {name} -->\n\na table\n\n<!-- end -->" in once
    assert report.replaced(once, name, "a table") == once
    with pytest.raises(ValueError, match="0 places for others"):
        report.replaced(page, "others", "a table")


def test_every_side_has_a_mark_in_the_plot() -> None:
    from benchmarks.plot import MARKS

    assert tuple(MARKS) == OTHERS


def test_what_was_measured_is_known_by_its_versions(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "versions", lambda: {"torch": "2"})
    assert records.measured("models", {"model": "bert"}, OURS) == set()
    records.append("models", _row("bert", xla=_side(1)))
    records.append("models", {**_row("bert", iree=_side(1)), "versions": {"torch": "1"}})
    assert records.measured("models", {"model": "bert"}, OURS) == {"xla"}
    assert records.measured("models", {"model": "gpt2"}, OURS) == set()


def test_our_sources_say_nothing_of_other_sides(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "versions", lambda: {"torch": "2", "bridge": "new"})
    row = _row("bert", xla=_side(1), openvino=_side(1))
    records.append("models", {**row, "versions": {"torch": "2", "bridge": "old"}})
    assert records.measured("models", {"model": "bert"}, OURS) == {"openvino"}


def test_a_side_that_ends_the_process_costs_only_itself(monkeypatch: Any) -> None:
    asked = []

    def child(module: str, request: dict[str, Any], **_: Any) -> Outcome:
        asked.append(request["sides"])
        if "openvino" in request["sides"]:
            return Outcome([{"building": "xla"}, {"building": "openvino"}], "SIGSEGV")
        return Outcome([{"eager_ms": 1.0, "sides": {"xla": _side(1)}}])

    monkeypatch.setattr(models, "run_child", child)
    row = models.measure({**_KEY, "model": "bert"}, ["xla", "openvino"], 1, 1)
    assert asked == [["xla", "openvino"], ["xla"]]
    assert row == {"eager_ms": 1.0, "sides": {"xla": _side(1), "openvino": {"reason": "SIGSEGV"}}}


def test_a_process_that_ends_while_timing_is_the_reason_of_all(monkeypatch: Any) -> None:
    died = Outcome([{"building": "xla"}, {"timing": ["xla"]}], "SIGKILL")
    monkeypatch.setattr(models, "run_child", lambda *_, **__: died)
    row = models.measure({**_KEY, "model": "bert"}, ["xla"], 1, 1)
    assert row == {"sides": {"xla": {"reason": "SIGKILL"}}}


def test_children_say_what_ended_them(tmp_path: Path) -> None:
    request = {"side": "onnxruntime", "phase": "warm", "model": "mlp", "folder": str(tmp_path)}
    failed = run_child("benchmarks.starting", request)
    assert failed.lines == []
    assert failed.problem.startswith("FileNotFoundError")
    assert run_child("benchmarks.starting", request, limit=0.01).problem == "took longer than 0.01 seconds"


def test_an_exception_is_told_by_its_root() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("step 2/3") from ValueError("no \x1b[96mtensor\x1b[0m\nof that name")
    assert one_line(caught.value) == "ValueError: no tensor of that name"


def test_titles_are_told_apart() -> None:
    assert len({side.title for side in SIDES.values()}) == len(SIDES)


@pytest.mark.parametrize(
    ("status", "stderr", "problem"),
    [
        (0, "a warning", ""),
        (-11, "", "the process was ended by SIGSEGV"),
        (
            1,
            "Traceback:\n  File x\ntorch.onnx.errors.OnnxError: it said no\n(See above.)",
            "OnnxError: it said no (See above.)",
        ),
        (3, "only this", "only this"),
        (3, "", "exit status 3"),
    ],
)
def test_what_ended_a_process(status: int, stderr: str, problem: str) -> None:
    done = CompletedProcess([], status, "", stderr)
    assert _problem(done).endswith(problem)
    assert bool(_problem(done)) == bool(problem)
