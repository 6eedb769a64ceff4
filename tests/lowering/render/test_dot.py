"""Programs in DOT, as text; names of a file are nothing but text in it."""

from __future__ import annotations

import re

import pytest

from lowering.render.dot import to_dot
from tests.lowering.render.samples import HOSTILE, in_two, named, two_layers

LOOK = 'fillcolor="#ffffff", color="#374151"'
FOLDED = f"""\
  n0 [label="x\\nf32[2, 3]", shape="oval", fillcolor="#e8f0fe", color="#1a56c4"]
  subgraph cluster_0 {{
    label="segment 0: StableHLO" style="rounded,filled" fillcolor="#ecfdf5" color="#059669"
    n1 [label="body\\n2 operators: linear, relu\\n1 weight", shape="box3d", \
fillcolor="#fdf6e3", color="#a16207"]
  }}
  subgraph cluster_1 {{
    label="segment 1: ATen" style="rounded,filled" fillcolor="#fff1e6" color="#d9480f"
    n2 [label="body\\n2 operators: linear, relu\\n1 weight", shape="box3d", \
fillcolor="#fdf6e3", color="#a16207"]
    n3 [label="add\\naten.add.Tensor", shape="box", {LOOK}]
  }}
  n4 [label="output 0", shape="oval", fillcolor="#f3e8ff", color="#7e22ce"]
  n0 -> n1 [label="f32[2, 3]"]
  n1 -> n2 [label="f32[2, 3]"]
  n1 -> n3 [label="f32[2, 3]"]
  n2 -> n3 [label="f32[2, 3]"]
  n3 -> n4 [label="f32[2, 3]"]
}}
"""


def test_segments_and_folded_modules() -> None:
    program = two_layers()
    text = to_dot(program, in_two(program), depth=1)
    assert text.startswith('digraph "program" {\n  graph [')
    assert text.partition("arrowsize=0.6]\n")[2] == FOLDED


def test_weights_have_dashed_edges() -> None:
    dashed = [line for line in to_dot(two_layers()).splitlines() if "dashed" in line]
    assert dashed == ['  n6 -> n1 [style="dashed"]', '  n7 -> n3 [style="dashed"]']


# All that is outside of strings.
PLAIN = re.compile(r"(?:digraph|subgraph|graph|node|edge|label|n\d+|cluster_\d+|[\w=\[\]{},.> \n-])*")
STRING = re.compile(r'"(?:[^"\\&\n]|\\["\\n]|&amp;)*"')


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text(text: str) -> None:
    dot = to_dot(named(text))
    assert PLAIN.fullmatch(STRING.sub("", dot)), dot
    dot.encode()
