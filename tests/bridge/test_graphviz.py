"""DOT drawn by Graphviz, and the sentence where it is not there."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from bridge import graphviz
from bridge.errors import BridgeError, UsageError
from bridge.graphviz import drawn
from lowering.render.dot import to_dot
from tests.lowering.render.samples import HOSTILE, named, two_layers

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert not root.findall(f".//{SVG}a")
    assert not root.findall(f".//{SVG}script")
    return [(item.text or "").strip() for item in root.iter(f"{SVG}text")]


def test_an_svg_has_every_box() -> None:
    found = texts(drawn(to_dot(two_layers()), "svg"))
    assert {"linear", "aten.linear.default", "f32[2, 3]", "output 0", "body"} <= set(found)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text(text: str) -> None:
    plain = "".join(char if char.isprintable() else " " for char in text)
    found = texts(drawn(to_dot(named(text)), "svg"))
    assert any(" ".join(plain.split()) in " ".join(item.split()) for item in found), found


def test_a_png_is_one() -> None:
    assert drawn(to_dot(two_layers()), "png").startswith(b"\x89PNG\r\n\x1a\n")


def test_text_that_is_not_dot_is_an_error() -> None:
    with pytest.raises(BridgeError, match="cannot draw the graph: "):
        drawn("digraph {", "svg")


def test_a_machine_without_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphviz, "_PROGRAM", "a-program-that-is-not-there")
    with pytest.raises(UsageError, match=r"SVG needs a-program.*pip install 'bridge\[visual\]'"):
        drawn("digraph {}", "svg")


def test_a_drawing_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphviz, "_PATIENCE_S", 1e-6)
    with pytest.raises(BridgeError, match="--max-nodes asks for less"):
        drawn(to_dot(two_layers()), "svg")
