"""Tables in text, and the same as JSON."""

from __future__ import annotations

import json

from bridge.profiling.peak import Peak
from bridge.profiling.rows import parts
from bridge.profiling.tables import as_json, table
from tests.bridge.profiling.profiles import kernel, mixed

PROFILE = mixed(*[kernel(f"kernel_{i}", i, 1, nodes=["a"]) for i in range(25)])


def lines(text: str, start: str) -> list[str]:
    return next(part for part in text.split("\n\n") if part.startswith(start)).splitlines()


def test_a_line_for_each_part() -> None:
    head, *rest = lines(table(PROFILE), "part")
    assert head.split() == "part count ms share MB GFLOP GFLOP/s GB/s".split()
    assert len(rest) == len(parts(PROFILE))
    assert any(line.startswith("segment 0 on fake ") for line in rest)
    assert any(line.startswith("import x (segment 0) ") for line in rest)
    assert any(line.startswith("aten.add.Tensor ") and line.split()[1] == "2" for line in rest)


def test_shares_of_a_peak_are_a_column_more() -> None:
    assert lines(table(PROFILE, Peak(1e9, 1e9)), "part")[0].endswith("of peak")


def test_the_dearest_kernels_are_shown_and_the_others_counted() -> None:
    head, *rest = lines(table(PROFILE), "kernel")
    assert head.split() == "kernel on segment count ms share nodes".split()
    assert len(rest) == 21
    assert rest[-1] == "5 more"
    assert not any(part.startswith("kernel") for part in table(mixed()).split("\n\n"))


def test_the_dearest_runs_have_their_nodes() -> None:
    head, *rest = lines(table(PROFILE), "dearest")
    assert head.split() == "dearest ms node source module".split()
    assert len(rest) == 10
    assert all(line.split()[2] == "a" for line in rest)


def test_a_long_name_loses_its_middle() -> None:
    name = "begin_" + "x" * 100 + "_end"
    shown = lines(table(mixed(kernel(name, 0, 1))), "kernel")[1].split()[0]
    assert shown.startswith("begin_")
    assert shown.endswith("_end")
    assert "..." in shown
    assert len(shown) < 60


def test_json_has_all_rows() -> None:
    data = json.loads(json.dumps(as_json(PROFILE, Peak(2.0, 1.0))))
    assert data["peak"] == {"flops": 2.0, "nbytes": 1.0}
    assert len(data["parts"]) == len(parts(PROFILE))
    assert len(data["kernels"]) == 25
    assert data["dearest"][0]["where"] == [{"node": "a", "source": "", "module": ""}]
    assert (data["engine"], data["copies"]) == ("fake", 0)
