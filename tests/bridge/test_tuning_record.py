"""The record of a measured placement: read as it was written, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.api import load
from bridge.configuration import ATEN, Configuration
from bridge.errors import ArtifactError
from bridge.manifest import digest
from bridge.tuning_record import Trial, Tuning, from_json, to_json
from tests.bridge.samples import lowered as lowered_sample

_TEXT = st.text(max_size=8)
_TRIALS = st.lists(
    st.builds(
        Trial,
        _TEXT,
        st.builds(
            Configuration,
            st.sampled_from([ATEN, "xla", "iree"]),
            st.dictionaries(_TEXT, st.sampled_from(["xla", "iree"]), max_size=3),
            st.dictionaries(_TEXT, _TEXT, max_size=3),
            st.booleans(),
        ),
        st.none() | st.floats(0, 1e6),
        st.none() | st.floats(0, 1e6),
        st.lists(st.floats(0, 1e6), max_size=3).map(tuple),
        _TEXT,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda trial: trial.name,
)


@given(_TRIALS, st.dictionaries(_TEXT, _TEXT, max_size=3), st.booleans(), _TEXT)
def test_a_record_is_read_as_it_was_written(
    trials: list[Trial], host: dict[str, str], complete: bool, problem: str
) -> None:
    tuning = Tuning(host, trials[-1].name, tuple(trials), complete, problem)
    assert from_json(to_json(tuning)) == tuning


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.sampled_from(["host", "chosen", "trials", "complete", "problem", ""]), _JUNK)
def test_any_other_record_is_refused(key: str, value: Any) -> None:
    tuning = Tuning({}, "xla", (Trial("xla", Configuration("xla"), 1.0, 1.0),))
    data: Any = {**to_json(tuning), key: value} if key else value
    try:
        found = from_json(data)
    except ValueError:
        return
    assert from_json(to_json(found)) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(choice="cuda"), "a choice that does not exist"),
        (lambda row: row.update(others={"x": "rm"}), "a choice that does not exist"),
        (lambda row: row.update(moved={"nowhere": "why"}), "the node 'nowhere', which does not exist"),
        (lambda row: row.update(seconds=-1.0), "its 'seconds' is -1.0"),
        (lambda row: row.update(segments=[1.0] * 100_001), "the limit is 100000"),
    ],
)
def test_an_edited_artifact_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    lowered = lowered_sample("mlp")
    tuned = replace(lowered, tuning=Tuning({}, "xla", (Trial("xla", Configuration("xla"), 1.0, 1.0),)))
    path = tuned.save(tmp_path / "a.bridge")
    file = path / "tuning.json"
    data = json.loads(file.read_text())
    change(data["trials"][0])
    file.write_text(json.dumps(data))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["tuning.json"] = {"bytes": file.stat().st_size, "digest": digest(file)}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=message):
        load(path)
