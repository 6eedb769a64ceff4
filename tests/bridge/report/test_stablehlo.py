"""StableHLO beside its source: all lines, each with its node."""

from __future__ import annotations

import pytest

from bridge.report import stablehlo
from bridge.report.stablehlo import runs, stablehlo_data
from tests.bridge.samples import NAMES, lowered

MODULE = r"""#loc1 = loc("model.py":3:0)
#loc4 = loc("x")
module @segment_0 {
  func.func public @main(%arg0: tensor<2xf32> loc("x")) -> tensor<2xf32> {
    %0 = stablehlo.negate %arg0 : tensor<2xf32> loc(#loc5)
    %1 = "stablehlo.reduce_window"(%0) ({
    ^bb0(%arg1: tensor<f32> loc("x")):
      stablehlo.return %arg1 : tensor<f32> loc(#loc6)
    }) : (tensor<2xf32>) -> tensor<2xf32> loc(#loc6)
    return %1 : tensor<2xf32> loc(#loc)
  } loc(#loc)
} loc(#loc)
#loc = loc(unknown)
#loc5 = loc("neg\22\5C"(#loc1))
#loc6 = loc(fused[#loc7, #loc5])
#loc7 = loc("pool"(#loc1))
"""


def test_lines_are_given_to_the_node_that_they_are_from() -> None:
    found = list(runs(MODULE))
    assert [name for name, _ in found] == ['neg"\\', "pool", ""]
    assert found[0][1].endswith("    %0 = stablehlo.negate %arg0 : tensor<2xf32>")
    assert found[1][1].count("\n") == 3
    assert found[2][1] == "    return %1 : tensor<2xf32>\n  }\n}"


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_module_is_lost(name: str) -> None:
    made = lowered(name)
    for segment in stablehlo_data(made):
        text = "\n".join(lines for *_, lines in segment["parts"])
        assert text.count("\n") == made.stablehlo(segment["index"]).strip().count("\n")
        assert "#loc" not in text
        assert segment["notice"] == ""


def test_a_line_has_its_source() -> None:
    (segment,) = stablehlo_data(lowered("convnet"))
    rows = {node: (place, source) for node, place, source, _ in segment["parts"] if node}
    place, source = rows["linear"]
    assert ".py:" in place
    assert "self.fc" in source


def test_what_is_too_long_is_left_out_with_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stablehlo, "MAX_CHARACTERS", 500)
    (segment,) = stablehlo_data(lowered("convnet"))
    assert sum(len(lines) for *_, lines in segment["parts"]) <= 500
    assert segment["notice"].endswith("more lines are not shown: bridge info --stablehlo 0 prints all.")
