"""The models of the registry: some all the way, one of each kind on one engine, and in slow runs all on all.

`--generate-reports FOLDER` writes the reports of those that are run, as `python -m tests` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from tests.models.pipeline import ENGINES, take_through
from tests.models.registry import CATEGORIES, models, published
from tests.zoo.inspection import Finding, inspect
from tests.zoo.pages import write_pages
from tests.zoo.processes import recorded, write

ROOT = Path(__file__).parents[2]

# Models with a published size that `make test` takes all the way.
ALL_THE_WAY = """
bert-base resnet-50 convnext-tiny whisper-tiny-encoder llama-decode
""".split()

# Models that compile fast, of each category that no model above has.
QUICK = """
min-gru centernet unet dense-experts unet-block graph-sage chosen-rows online-norm int8-convolutions
tied-autoencoder
""".split()


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest) -> Iterator[Callable[[Finding], None]]:
    """Keeps findings; at the end, the reports of all that are kept are written, if they are asked for."""
    folder = request.config.getoption("--generate-reports")
    record = Path(folder) / "findings.jsonl" if folder is not None else None
    yield lambda finding: write(record, finding) if record is not None else None
    # Each of several processes writes what there is: the last one has all of it.
    if record is not None and record.exists():
        write_pages(record.parent, recorded(record), "pytest tests/models/test_zoo.py --generate-reports")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ALL_THE_WAY else pytest.mark.conformance)
        for name in published()
    ],
)
def test_is_one_segment_that_equals_eager_on_both_engines_and_as_an_artifact(
    name: str, tmp_path: Path
) -> None:
    row = take_through(name, models()[name].build(), folder=tmp_path)
    assert row.whole
    assert row.problems == row.reasons == row.constant == []


@pytest.mark.parametrize("name", QUICK)
def test_a_model_of_each_kind_equals_eager(name: str, report: Callable[[Finding], None]) -> None:
    check(name, ENGINES[crc32(name.encode()) % len(ENGINES)], report)


@pytest.mark.conformance
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", models())
def test_every_model_equals_eager(name: str, engine: str, report: Callable[[Finding], None]) -> None:
    check(name, engine, report)


def check(name: str, engine: str, report: Callable[[Finding], None]) -> None:
    finding = inspect(name, [engine], source=False)
    report(finding)
    assert finding.problems == []


def test_each_category_has_several_models_and_a_quick_one() -> None:
    entries = models().values()
    assert len(entries) >= 60
    for category in CATEGORIES:
        assert sum(category in entry.categories for entry in entries) >= 3, category
        assert any(category in models()[name].categories for name in (*QUICK, *ALL_THE_WAY)), category


def test_the_docs_have_a_page_of_each_model() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "zoo").glob("*.md")}
    assert pages == {"SUMMARY", *models()}
