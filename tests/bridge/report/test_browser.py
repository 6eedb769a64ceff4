"""Reports in a real browser: they load without complaint, fold and unfold, and a node shows its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.summary import summary
from bridge.lowered import Lowered
from bridge.report.document import graph_page, report_page
from bridge.report.page import page
from bridge.report.profiles import ProfileTable
from bridge.verification.compare import DECADES, Difference
from bridge.verification.report import EngineReport, VerificationReport
from tests.bridge.report.bert import bert, bert_report
from tests.bridge.samples import lowered
from tests.browser import CHROMIUM, WITHOUT, Page, browser
from tests.lowering.render.samples import HOSTILE, in_two, named, two_layers

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(tab: Page, tmp_path: Path) -> Iterator[Page]:
    """The tab; at the end nothing was complained of, and nothing but files was asked for."""
    tab.complaints.clear()
    tab.requests.clear()
    yield tab
    assert tab.complaints == []
    assert all(url.startswith("file://") for url in tab.requests), tab.requests


def show(tab: Page, folder: Path, text: str) -> None:
    file = folder / "page.html"
    file.write_text(text)
    tab.open(file.as_uri())


def boxes(tab: Page) -> set[str]:
    """The titles of the boxes that are seen."""
    script = "[...document.querySelectorAll('[data-box]')].map((b) => b.querySelector('text').textContent)"
    return set(tab.evaluate(script))


def layered() -> str:
    program = two_layers()
    return graph_page(Lowered(program, program, in_two(program), lowered("mlp").weights), "two layers")


def test_a_report_shows_all_of_its_sections(opened: Page, tmp_path: Path) -> None:
    made = lowered("convnet")
    value = Difference("output 0", 1.23456e-6, "", 0.25, "float32[2]", (5, *(1 for _ in DECADES), 0))
    report = VerificationReport("f", "eager", (EngineReport("e", 1, 1, 0, (value,)),))
    table = ProfileTable("by operator", ["operator", "ms", "share"], [["aten.conv2d.default", 1.5, 0.25]])
    show(opened, tmp_path, report_page(made, "a title", summary(made), report, [table]))
    assert opened.evaluate("document.getElementById('title').textContent") == "a title"
    sections = opened.evaluate("[...document.querySelectorAll('section')].map((s) => s.id)")
    assert sections == ["summary", "graph", "weights", "verification", "profile", "stablehlo"]
    assert opened.evaluate("document.querySelectorAll('.histogram rect').length") == len(DECADES) + 2
    row = opened.evaluate("document.querySelector('#verification tbody tr').innerText").split("\t")
    assert row[:4] == ["output 0", "float32[2]", "1.23e-6", "0.25"]
    row = opened.evaluate("document.querySelector('#profile tbody tr').innerText").split("\t")
    assert [cell.strip() for cell in row] == ["aten.conv2d.default", "1.5", "25.0%"]
    assert opened.evaluate("document.querySelector('#profile .bar').getAttribute('width')") == "25"
    opened.click("#stablehlo summary")
    opened.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert "stablehlo.convolution" in opened.evaluate("document.querySelector('.beside').textContent")


def test_bert_base_is_seen_in_a_few_boxes(opened: Page, tmp_path: Path) -> None:
    show(opened, tmp_path, bert_report())
    assert 10 < len(boxes(opened)) <= 40
    opened.click("#unfold")
    assert opened.evaluate("document.querySelectorAll('.box.operator').length") == len(
        bert().functional.nodes
    )


def test_groups_fold_and_unfold(opened: Page, tmp_path: Path) -> None:
    show(opened, tmp_path, layered())
    everything = {"x", "linear", "relu", "linear_1", "relu_1", "add", "output 0"}
    assert boxes(opened) == everything
    opened.click("[data-head='2'] text")
    assert boxes(opened) == (everything - {"linear", "relu"}) | {"▸ body.0"}
    opened.click("#fold")
    assert boxes(opened) == {"x", "▸ segment 0: StableHLO", "▸ segment 1: ATen", "output 0"}
    opened.click("[data-box='g3'] rect")
    assert boxes(opened) == {"x", "▸ segment 0: StableHLO", "▸ body.1", "add", "output 0"}
    opened.click("#unfold")
    assert boxes(opened) == everything
    opened.click("#show-weights")
    assert boxes(opened) == everything | {"w0", "w1"}


def test_a_node_shows_its_line_placement_and_reason(opened: Page, tmp_path: Path) -> None:
    show(opened, tmp_path, layered())
    opened.evaluate(
        "[...document.querySelectorAll('[data-box]')].find((b) => b.textContent.startsWith('linear'))"
        ".setAttribute('id', 'wanted')"
    )
    opened.click("#wanted rect")
    panel = opened.evaluate("document.getElementById('detail').innerText")
    for text in (
        "aten.linear.default",
        "f32[2, 3]",
        "body.0",
        "StableHLO, segment 0",
        "model.py:3 in forward",
    ):
        assert text in panel
    opened.click("#detail a")
    assert "input" in opened.evaluate("document.getElementById('detail').innerText")


def test_a_node_is_found_and_revealed(opened: Page, tmp_path: Path) -> None:
    show(opened, tmp_path, layered())
    opened.click("#fold")
    opened.evaluate(
        "(() => { const s = document.getElementById('search'); s.value = 'relu_1';"
        " s.dispatchEvent(new Event('input')); })()"
    )
    opened.click(".found li")
    assert "relu_1" in boxes(opened)
    assert opened.evaluate("document.querySelector('.box.selected text').textContent") == "relu_1"
    assert "no rule" in opened.evaluate("document.getElementById('detail').innerText")
    address = opened.evaluate("location.href")
    opened.open("about:blank")
    opened.open(address)
    assert opened.evaluate("document.querySelector('.box.selected text').textContent") == "relu_1"


def test_boxes_do_not_cover_one_another(opened: Page, tmp_path: Path) -> None:
    made = lowered("convnet")
    show(opened, tmp_path, graph_page(made, ""))
    opened.click("#show-weights")
    places = opened.evaluate(
        "[...document.querySelectorAll('[data-box] rect')].map((r) => r.getBBox())"
        ".map(({x, y, width, height}) => [x, y, x + width, y + height])"
    )
    assert len(places) > 15
    for index, (left, top, right, bottom) in enumerate(places):
        for other in places[index + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_a_hostile_name_does_not_run(opened: Page, tmp_path: Path, text: str) -> None:
    program = named(text)
    made = Lowered(program, program, in_two(program), lowered("mlp").weights)
    show(opened, tmp_path, graph_page(made, text))
    assert opened.evaluate("document.getElementById('title').textContent") == text
    assert opened.evaluate("document.querySelectorAll('#sections script, #sections b').length") == 0


def test_markup_that_gets_into_the_page_does_not_run(tab: Page, tmp_path: Path) -> None:
    """The page's policy is a second wall: a script that it does not name is refused."""
    whole = page({"title": "", "graph": {"groups": [["", -1, ""]], "nodes": [], "texts": [], "frames": []}})
    tab.complaints.clear()
    show(tab, tmp_path, whole.replace("<header>", "<script>window.harm = 1</script><header>"))
    assert tab.evaluate("window.harm === undefined")
    assert len(tab.complaints) == 1
    assert "Content Security Policy" in tab.complaints[0]
