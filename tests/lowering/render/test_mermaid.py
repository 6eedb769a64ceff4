"""Programs as Mermaid flowcharts, as text; names of a file are nothing but text in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature

import pytest

from bridge.planned import Planned
from lowering.ir.errors import BridgeError
from lowering.ir.program import Program
from lowering.render.drawing import MAX_NODES
from lowering.render.mermaid import to_mermaid
from tests.lowering.render.samples import HOSTILE, in_two, named, two_layers

OPEN = """\
flowchart TD
  n0(["x<br/>f32[2, 3]"])
  subgraph g0["segment 0: StableHLO"]
    subgraph g1["body.0"]
      n1["linear<br/>aten.linear.default"]
      n2["relu<br/>aten.relu.default"]
      n6[("w0<br/>f32[3, 3]")]
    end
  end
  subgraph g2["segment 1: ATen"]
    subgraph g3["body.1"]
      n3["linear_1<br/>aten.linear.default"]
      n4["relu_1<br/>aten.relu.default"]
      n7[("w1<br/>f32[3, 3]")]
    end
    n5["add<br/>aten.add.Tensor"]
  end
  n8(["output 0"])
  n0 -->|"f32[2, 3]"| n1
  n6 -.-> n1
  n1 -->|"f32[2, 3]"| n2
  n2 -->|"f32[2, 3]"| n3
  n7 -.-> n3
  n3 -->|"f32[2, 3]"| n4
  n2 -->|"f32[2, 3]"| n5
  n4 -->|"f32[2, 3]"| n5
  n5 -->|"f32[2, 3]"| n8
"""
FOLDED = """\
flowchart TD
  n0(["x<br/>f32[2, 3]"])
  n1[["body<br/>4 operators: linear 2, relu 2<br/>2 weights"]]
  n2["add<br/>aten.add.Tensor"]
  n3(["output 0"])
  n0 -->|"f32[2, 3]"| n1
  n1 -->|"f32[2, 3] and f32[2, 3]"| n2
  n2 -->|"f32[2, 3]"| n3
"""


def drawing(text: str) -> str:
    """The part before colours."""
    return text.partition("  classDef")[0]


def test_segments_modules_weights_and_shapes() -> None:
    program = two_layers()
    text = to_mermaid(program, in_two(program))
    assert drawing(text) == OPEN
    assert "  style g0 fill:#ecfdf5,stroke:#059669" in text
    assert "  style g2 fill:#fff1e6,stroke:#d9480f" in text


def test_a_module_is_folded_into_one_box() -> None:
    program = two_layers()
    assert drawing(program.to_mermaid(depth=1)) == FOLDED
    assert drawing(to_mermaid(program, max_nodes=4)) == FOLDED


@pytest.mark.parametrize("method", [Program.to_mermaid, Planned.to_mermaid])
def test_methods_have_the_default_of_pictures(method: Callable[..., str]) -> None:
    assert signature(method).parameters["max_nodes"].default == MAX_NODES


@pytest.mark.parametrize("numbers", [{"max_nodes": 2}, {"depth": -1}], ids=str)
def test_numbers_that_are_too_small_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(BridgeError, match=r"or more|at least"):
        to_mermaid(two_layers(), **numbers)


# A line of a flowchart: quotes are only around labels, and labels have no markup but breaks.
LABEL = r'"(?:[A-Za-z0-9 _.,:/()\[\]-]|#[0-9]+;|<br/>)*"'
LINES = re.compile(
    rf"flowchart TD|  +subgraph g\d+\[{LABEL}\]|  +end|  +n\d+[\[(]{{1,2}}{LABEL}[\])]{{1,2}}"
    rf"|  n\d+ -->\|{LABEL}\| n\d+|  n\d+ -\.-> n\d+"
    r"|  classDef \w+ [\w:#,]+|  class [\w,]+ \w+|  style g\d+ [\w:#,]+"
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text(text: str) -> None:
    for line in to_mermaid(named(text)).splitlines():
        assert LINES.fullmatch(line), line


def test_a_long_name_is_cut() -> None:
    assert max(map(len, to_mermaid(named("x" * 100_000)).splitlines())) < 500
