"""What docs/ says of operators is what the registry and the last conformance run say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge.operators import describe
from tests.databases import __main__ as of_databases
from tests.databases import report as databases
from tests.opdb import __main__ as opdb
from tests.opdb import operators_page, report, store
from tests.opdb.cases import Row
from tests.opdb.operators_page import PAGE, core_without_rule
from tests.opdb.report import general, reached


def test_operators_page_is_fresh() -> None:
    assert PAGE.read_text() == operators_page.render(), "stale: run python -m tests.opdb --report-only"


def test_pages_are_not_written_from_a_part_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = [report.PAGE, report.MEASURED, databases.PAGE]
    before = [page.read_text() for page in written]
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    store.append("xla", "float32", Row("add/float32/0", "lowered"))
    for main, lacking in ((opdb.main, "xla float64, xla float16"), (of_databases.main, "export xla")):
        monkeypatch.setattr(sys, "argv", ["tests", "--report-only"])
        assert main() == 1
        said = capsys.readouterr().err
        assert said.startswith("the pages stay as they are: no results are kept of ")
        assert lacking in said
        assert "xla float32" not in said
    assert [page.read_text() for page in written] == before


def test_core_operators_without_a_rule_have_a_reason() -> None:
    assert [target for target, reason in core_without_rule().items() if not reason] == []


def test_an_operator_is_described() -> None:
    assert describe("aten.addr.default")[0] == "aten.addr.default: rule in lowering.stablehlo.ops.matmul"
    assert "no rule" in describe("aten.nonzero.out")[0]
    (line,) = describe("aten.to_sparse.default")
    assert line.startswith(
        "aten.to_sparse.default: no rule; a file may not call aten.to_sparse.default: it is"
    )


def test_reasons_name_no_symbol_of_one_program() -> None:
    assert general("its size u0 is known only once the data is") == "its size is known only once the data is"
    assert general("zuf3 is known only once the data is") == "a value is known only once the data is"


def test_the_page_says_how_many_samples_were_run() -> None:
    def rows(name: str, count: int, of: int) -> list[Row]:
        return [Row(f"{name}/float32/{index}", "lowered", of=of) for index in range(count)]

    assert reached(rows("add", 4, 4) + rows("sub", 2, 2), 2) == "all"
    assert reached(rows("add", 3, 4) + rows("sub", 2, 2), 2) == "first 3"
    assert reached(rows("add", 1, 4), 2) == "first 1, 1 of 2 operators"
