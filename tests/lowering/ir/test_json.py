"""JSON gives back exactly what was written, and refuses everything else in one sentence."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowering.frontend.pt2 import read
from lowering.ir.json import JSONError, from_json, plan_from_json, plan_to_json, to_json
from lowering.ir.plan import Placement, Plan, Segment
from lowering.passes.pipelines import canonical
from tests.lowering.ir.programs import FILES, names, programs


def through_text(data):
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_samples_come_back_equal(path):
    program, weights = read(path)[:2]
    for version in (program, canonical(weights).run(program)):
        assert from_json(through_text(to_json(version))) == version


@settings(max_examples=150, deadline=None)
@given(programs)
def test_any_program_comes_back_equal(program):
    again = from_json(through_text(to_json(program)))
    assert again == program
    assert repr(again) == repr(program)  # 1, 1.0 and True are equal, and must not be exchanged


segments = st.builds(
    Segment,
    st.integers(0, 9),
    st.sampled_from(Placement),
    *[st.lists(names, max_size=3).map(tuple) for _ in range(3)],
)


@given(st.builds(Plan, st.lists(segments, max_size=3).map(tuple), st.dictionaries(names, names, max_size=2)))
def test_any_plan_comes_back_equal(plan):
    assert plan_from_json(through_text(plan_to_json(plan))) == plan


def test_special_numbers():
    data = {"format": 1, "segments": [], "reasons": {}}
    assert plan_from_json(data) == Plan((), {})
    assert "NaN" not in json.dumps(to_json(sample()))


def sample():
    return read(next(path for path in FILES if path.stem == "branch"))[0]


def _set(data, path, value):
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 2, r"\$.format: this version reads format 1, not 2"),
        (["graph"], [], r"\$.graph: expected an object, found \[\]"),
        (["graph", "nodes", 0, "name"], 3, r"\$.graph.nodes\[0\].name: expected text, found 3"),
        (["graph", "nodes", 0, "args", 0], ["x"], r"args\[0\]: expected a list of 2 or 3 items"),
        (["graph", "nodes", 0, "args", 0, 1], {"pickle": 1}, "'pickle' is not one of ref, float"),
        (["graph", "values", "x", "dtype"], "float31", "values.x.dtype: 'float31' is not one of uint8"),
        (["graph", "values", "x", "sizes", 0], 1.5, "expected a size, found 1.5"),
        (["graph", "values", "x", "sizes", 0], True, "expected a size, found True"),
        (["graph", "values", "x", "sizes", 0], [], "expected an operator and its arguments"),
        (["signature", "inputs", 0, 0], "gift", "'gift' is not one of parameter"),
        (["signature", "in_spec"], ["a"], "expected null or a list of at least 3 items"),
        (["hints"], {"s0": "3"}, r"\$.hints.s0: expected an integer"),
        (["guards"], [["x", 1]], "expected an expression"),
    ],
)
def test_what_is_wrong_is_named(path, value, message):
    data = through_text(to_json(sample()))
    _set(data, path, value)
    with pytest.raises(JSONError, match=message):
        from_json(data)


def test_missing_fields_are_named():
    data = to_json(sample())
    del data["graph"]["nodes"]
    with pytest.raises(JSONError, match=r"\$.graph: 'nodes' is missing"):
        from_json(data)


def test_depth_is_bounded():
    deep = 1
    for _ in range(100_000):
        deep = [deep]
    data = to_json(sample())
    data["graph"]["inputs"] = [deep]
    with pytest.raises(JSONError, match="nested deeper than"):
        from_json(data)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def _places(data, path=()):
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


WRITTEN = through_text(to_json(sample()))
PLACES = [list(path) for path in _places(WRITTEN) if path]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JUNK)
def test_garbage_is_refused_or_read(path, junk):
    data = copy.deepcopy(WRITTEN)
    _set(data, path, junk)
    try:
        program = from_json(data)
    except JSONError as problem:
        error = str(problem)
    else:
        error = "$"
        assert repr(from_json(through_text(to_json(program)))) == repr(program)
    assert error.startswith("$")


@given(JUNK)
def test_anything_else_is_refused(junk):
    for parse in (from_json, plan_from_json):
        with pytest.raises(JSONError):
            parse(junk)
