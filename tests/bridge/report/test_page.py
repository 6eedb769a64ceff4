"""The HTML around the data: one file, one script, and no text of the data that is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from bridge.report.page import page
from tests.lowering.render.samples import HOSTILE

GRAPH = {"groups": [["", -1, ""]], "nodes": [], "texts": [], "frames": []}


class Parts(HTMLParser):
    """The elements of a page, and the text in each script, style and title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.reading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append("")
        self.reading = True

    def handle_endtag(self, tag: str) -> None:
        self.reading = False

    def handle_data(self, data: str) -> None:
        if self.reading:
            self.inside[-1] += data

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        pairs = zip(self.tags, self.inside, strict=True)
        return [(attributes, text) for (name, attributes), text in pairs if name == tag]


def data_of(text: str) -> Any:
    """The data of a page, as its script reads it."""
    return json.loads(Parts(text).of("script")[0][1])


def test_a_page_has_one_script_and_the_data() -> None:
    parts = Parts(page({"title": "a title", "graph": GRAPH}))
    (data, _), (script, _) = parts.of("script")
    assert data == {"type": "application/json", "id": "data"}
    assert script == {}
    assert parts.of("title")[0][1].strip() == "a title"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_text(text: str) -> None:
    found = page({"title": text, "graph": GRAPH, "key": {text: [text]}})
    usual = page({"title": "", "graph": GRAPH})
    assert [tag for tag, _ in Parts(found).tags] == [tag for tag, _ in Parts(usual).tags]
    read = data_of(found)
    assert read["title"] == text
    assert read["key"] == {text: [text]}
    found.encode()


def test_the_policy_lets_nothing_run_but_the_script() -> None:
    text = page({"title": "", "graph": GRAPH})
    parts = Parts(text)
    policy = next(
        a["content"] for a, _ in parts.of("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": digest(parts.of("script")[1][1]),
        "style-src": digest(parts.of("style")[0][1]),
    }


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_names_no_other_place() -> None:
    text = page({"title": "", "graph": GRAPH})
    assert set(re.findall(r"\w+://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
    )


def test_numbers_that_json_lacks_are_text() -> None:
    read = data_of(page({"title": "", "graph": GRAPH, "numbers": [float("inf"), float("nan"), 1.5]}))
    assert read["numbers"] == ["inf", "nan", 1.5]
