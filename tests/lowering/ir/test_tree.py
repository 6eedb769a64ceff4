"""Pytree specs: torch's own text in and out, values taken apart and rebuilt as torch does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowering.ir.tree import (
    LEAF,
    NodeType,
    TreeMismatch,
    TreeSpec,
    TreeSpecError,
    flatten,
    flatten_call,
    leaf_paths,
    namedtuple_fields,
    namedtuple_type,
    parse_spec,
    print_spec,
    unflatten,
)

Point = namedtuple("Point", ["x", "y"])
POINT = "tests.Point"


def node(type_: str | None, context: Any, *children: Any) -> dict[str, Any]:
    return {"type": type_, "context": context, "children_spec": list(children)}


def text(root: Any) -> str:
    return json.dumps([1, root])


LEAF_NODE = node(None, None)


def tuple_of(*children: Any) -> dict[str, Any]:
    return node("builtins.tuple", "null", *children)


def dict_of(**children: Any) -> dict[str, Any]:
    return node("builtins.dict", json.dumps(list(children)), *children.values())


# The call `f({"a": x, "b": [y, z]}, shift=s)`
CALL = parse_spec(
    text(
        tuple_of(
            tuple_of(dict_of(a=LEAF_NODE, b=node("builtins.list", "null", LEAF_NODE, LEAF_NODE))),
            dict_of(shift=LEAF_NODE, scale=LEAF_NODE),
        )
    )
)


# ------------------------------------------------------------------------------------------- against torch

TREES: list[Any] = [
    1,
    None,
    (),
    [],
    {},
    (1, [2, None, (3,)], {"a": 4, "b": {"c": 5}}),
    {1: 1, 2.5: 2, None: 3},
    OrderedDict(z=1, a=(2, 3)),
    defaultdict(list, {"k": [1, 2]}),
    defaultdict(int, {"k": 1}),
    deque([1, 2, (3,)]),
    deque([1], maxlen=4),
    ((1,), {}),
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_as_torch_does(tree: Any):
    pytree = pytest.importorskip("torch.utils._pytree")
    leaves, torch_spec = pytree.tree_flatten(tree)
    written = pytree.treespec_dumps(torch_spec)
    spec = parse_spec(written)
    assert json.loads(print_spec(spec)) == json.loads(written)
    assert spec.leaves == len(leaves)
    assert flatten(tree, spec) == leaves
    ways, _ = pytree.tree_flatten_with_path(tree)
    assert list(leaf_paths(spec)) == [tuple(_step(key) for key in way) for way, _ in ways]
    rebuilt = unflatten(leaves, spec)
    assert rebuilt == tree
    assert type(rebuilt) is type(tree)
    assert pytree.tree_structure(rebuilt) == torch_spec
    assert pytree.treespec_loads(print_spec(spec)) == torch_spec


def _step(key: Any) -> str | int:
    """A step as torch says it: of a dict its key, of a list its index."""
    return str(key.key) if hasattr(key, "key") else key.idx


@dataclass
class Pair:
    left: Any
    right: Any = None


def test_registered_types_as_torch_does():
    """In a process of its own: what is registered with torch stays registered."""
    code = """
import json, torch.utils._pytree as pytree
from tests.lowering.ir.test_tree import Pair, Point, POINT
from lowering.ir.tree import *
pytree._register_namedtuple(Point, serialized_type_name=POINT)
pytree.register_dataclass(Pair, serialized_type_name="tests.Pair")
types = {"tests.Pair": dataclass_type(Pair), POINT: namedtuple_type(Point)}
for tree in (Point(1, (2, 3)), Pair(1), Pair(1, [2]), [Pair(Point(1, 2), 3)]):
    leaves, torch_spec = pytree.tree_flatten(tree)
    written = pytree.treespec_dumps(torch_spec)
    spec = parse_spec(written, {POINT: ("x", "y")})
    assert json.loads(print_spec(spec)) == json.loads(written)
    assert flatten(tree, spec, types) == leaves
    assert unflatten(leaves, spec, types) == tree
    assert type(unflatten(leaves, spec, types)) is type(tree)
    assert pytree.treespec_loads(print_spec(spec)) == torch_spec
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_way_to_a_leaf_has_the_names_that_are_known():
    fields = parse_spec(
        text(node("collections.namedtuple", POINT, LEAF_NODE, LEAF_NODE)), {POINT: ("x", "y")}
    )
    assert list(leaf_paths(fields)) == [("x",), ("y",)]
    unnamed = parse_spec(text(node("collections.namedtuple", POINT, LEAF_NODE, LEAF_NODE)))
    assert list(leaf_paths(unnamed)) == [(0,), (1,)]
    for context, path in (
        (json.dumps([["left"], ["right"]]), "left"),
        (json.dumps(["left"]), "left"),
        ("{}", 0),
    ):
        custom = parse_spec(text(node("tests.Custom", context, tuple_of(LEAF_NODE))))
        assert list(leaf_paths(custom)) == [(path, 0)]
    assert list(leaf_paths(LEAF)) == [()]


# --------------------------------------------------------------------------------------------- round trips

trees = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, max_size=3).map(OrderedDict),
        st.lists(inner, max_size=3).map(deque),
    ),
    max_leaves=12,
)


def spec_of(tree: Any) -> TreeSpec:
    """The spec of a tree of standard containers, None being a leaf."""
    kinds = {list: "builtins.list", tuple: "builtins.tuple", deque: "collections.deque"}
    if type(tree) in kinds:
        return TreeSpec(kinds[type(tree)], "null", tuple(map(spec_of, tree)))
    if isinstance(tree, dict):
        name = "builtins.dict" if type(tree) is dict else "collections.OrderedDict"
        return TreeSpec(name, json.dumps(list(tree)), tuple(map(spec_of, tree.values())))
    return LEAF


@given(trees)
def test_round_trip(tree: Any):
    spec = spec_of(tree)
    assert parse_spec(print_spec(spec)) == spec
    leaves = flatten(tree, spec)
    assert len(leaves) == spec.leaves
    assert unflatten(leaves, spec) == tree


@given(trees, trees)
def test_another_structure_is_a_mismatch(expected: Any, given_: Any):
    spec = spec_of(expected)
    try:
        leaves = flatten(given_, spec)
    except TreeMismatch:
        return
    # It fitted: then putting it together again gives what was given, but for the order of dicts.
    assert unflatten(leaves, spec) == given_ or isinstance(given_, OrderedDict)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda i: (
            st.lists(i)
            | st.dictionaries(
                st.sampled_from(["type", "context", "children_spec"]),
                i | st.sampled_from(["builtins.dict", "[]"]),
            )
        ),
    )
)
def test_any_json_is_a_spec_or_an_error(document: Any):
    try:
        spec = parse_spec(json.dumps([1, document]))
    except TreeSpecError:
        return
    assert parse_spec(print_spec(spec)) == spec


# ---------------------------------------------------------------------------------------------- mismatches


def test_a_call_in_any_order_of_keys():
    leaves = flatten_call(({"b": [2, 3], "a": 1},), {"scale": 5, "shift": 4}, CALL)
    assert leaves == [1, 2, 3, 4, 5]
    assert unflatten(leaves, CALL) == (({"a": 1, "b": [2, 3]},), {"shift": 4, "scale": 5})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (([1],), {"shift": 1, "scale": 2}, "argument 0: expected dict with keys ['a', 'b'], got list of 1"),
        (
            ({"a": 1, "b": (2, 3)},),
            {"shift": 1, "scale": 2},
            "argument 0, key 'b': expected list of 2, got tuple of 2",
        ),
        (
            ({"a": 1, "b": [2]},),
            {"shift": 1, "scale": 2},
            "argument 0, key 'b': expected list of 2, got list of 1",
        ),
        (
            ({"a": 1, "c": [2, 3]},),
            {"shift": 1, "scale": 2},
            "argument 0: expected dict with keys ['a', 'b'], got dict with keys ['a', 'c']",
        ),
        (
            ({"a": 1, "b": [2, 3]},),
            {"shift": 1},
            "keyword arguments: expected dict with keys ['shift', 'scale'], got dict with keys ['shift']",
        ),
        (
            ({"a": 1, "b": [2, 3]}, 7),
            {"shift": 1, "scale": 2},
            "positional arguments: expected tuple of 1, got tuple of 2",
        ),
        ((None,), {"shift": 1, "scale": 2}, "argument 0: expected dict with keys ['a', 'b'], got NoneType"),
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit(args: Any, kwargs: Any, message: str):
    with pytest.raises(TreeMismatch) as caught:
        flatten_call(args, kwargs, CALL)
    assert str(caught.value) == message


def test_a_keyword_argument_is_named():
    spec = parse_spec(text(tuple_of(tuple_of(), dict_of(cache=node("builtins.list", "null", LEAF_NODE)))))
    with pytest.raises(TreeMismatch, match=r"^argument 'cache': expected list of 1, got tuple of 1$"):
        flatten_call((), {"cache": (1,)}, spec)


def test_subclasses_are_other_types():
    spec = spec_of({"a": 1})
    with pytest.raises(TreeMismatch, match=r"^expected dict with keys \['a'\], got OrderedDict with keys"):
        flatten(OrderedDict(a=1), spec)
    with pytest.raises(TreeMismatch, match="got Point with fields"):
        flatten(Point(1, 2), spec_of((1, 2)))


def test_a_defaultdict_does_not_invent_items():
    spec = parse_spec(
        text(
            node(
                "collections.defaultdict",
                {"default_factory_module": "builtins", "default_factory_name": "list", "dict_context": ["a"]},
                LEAF_NODE,
            )
        )
    )
    given_ = defaultdict(list, {"b": 1})
    with pytest.raises(TreeMismatch):
        flatten(given_, spec)
    assert list(given_) == ["b"]


def test_a_deque_has_its_length():
    spec = parse_spec(text(node("collections.deque", "4", LEAF_NODE)))
    assert unflatten([1], spec).maxlen == 4
    with pytest.raises(TreeMismatch, match="maxlen 4, got one of maxlen None"):
        flatten(deque([1]), spec)


@pytest.mark.parametrize(("leaves", "words"), [([1, 2], "got fewer"), ([1, 2, 3, 4], "got more")])
def test_the_number_of_leaves(leaves: list[int], words: str):
    with pytest.raises(TreeMismatch, match=f"expected 3 leaves, {words}"):
        unflatten(leaves, spec_of([1, (2, {"a": 3})]))


# -------------------------------------------------------------------------------------------- other types

NAMED = node("collections.namedtuple", POINT, LEAF_NODE, tuple_of(LEAF_NODE))


def test_a_namedtuple_without_its_class_is_rebuilt_alike():
    spec = parse_spec(text(NAMED), {POINT: ["x", "y"]})
    assert namedtuple_fields(spec) == {POINT: ("x", "y")}
    result = unflatten([1, 2], spec)
    assert result == Point(1, (2,))
    assert (type(result).__name__, result._fields, result.y) == ("Point", ("x", "y"), (2,))
    assert type(unflatten([3, 4], spec)) is type(result)
    assert flatten(Point(1, (2,)), spec) == flatten(result, spec) == [1, 2]


def test_a_namedtuple_with_its_class():
    spec = parse_spec(text(NAMED), {POINT: ["x", "y"]})
    types = {POINT: namedtuple_type(Point)}
    assert type(unflatten([1, 2], spec, types)) is Point
    assert flatten(Point(1, (2,)), spec, types) == [1, 2]
    with pytest.raises(TreeMismatch, match=r"expected tests.Point with fields \['x', 'y'\], got tuple of 2"):
        flatten((1, (2,)), spec, types)


def test_a_namedtuple_of_other_fields():
    spec = parse_spec(text(NAMED), {POINT: ["x", "z"]})
    with pytest.raises(TreeMismatch, match=r"fields \['x', 'z'\], got Point with fields \['x', 'y'\]"):
        flatten(Point(1, (2,)), spec)


def test_a_namedtuple_whose_fields_nobody_knows():
    spec = parse_spec(text(NAMED))
    for action in (lambda: unflatten([1, 2], spec), lambda: flatten(Point(1, (2,)), spec)):
        with pytest.raises(TreeSpecError, match=r"the container type tests\.Point is not known"):
            action()


CUSTOM = text(node("os.system", '{"n": 1}', LEAF_NODE))


FIELDS = {
    "a dataclass": ([["left", "right"], ["rest"]], ("left", "right")),
    "a mapping": (["left", "right"], ("left", "right")),
    "a mapping in an object": ({"keys": ["left", "right"]}, ("left", "right")),
    "text of JSON": ('["left", "right"]', ("left", "right")),
    "something else": ({"n": 2}, ("0", "1")),
    "too few names": (["left"], ("0", "1")),
    "a name twice": (["left", "left"], ("0", "1")),
    "no names": ([1, 2], ("0", "1")),
    "nothing": (None, ("0", "1")),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_type_that_is_not_known_is_a_dict_of_its_fields(name: str):
    """Nothing that a spec names is imported."""
    context, names = FIELDS[name]
    spec = parse_spec(text(node("os.system", context, LEAF_NODE, LEAF_NODE)))
    tree = unflatten([1, 2], spec)
    assert tree == dict(zip(names, (1, 2), strict=True))
    assert flatten(dict(reversed(tree.items())), spec) == [1, 2]
    assert flatten({**tree, "rest": None}, spec) == [1, 2]
    for wrong in ([1, 2], {names[0]: 1}, {**tree, "rest": 3}, 1):
        with pytest.raises(TreeMismatch, match=r"expected os\.system, or a dict with keys"):
            flatten(wrong, spec)


def test_an_object_of_a_type_that_is_not_known_is_taken_apart_by_its_fields():
    context = [["left"], ["right"]]
    spec = parse_spec(text(node("tests.Pair", context, LEAF_NODE)))
    assert flatten(Pair(1), spec) == [1]
    with pytest.raises(TreeMismatch):
        flatten(Pair(1, 2), spec)


def test_a_registered_type():
    class Box:
        def __init__(self, item: Any, n: int) -> None:
            self.item, self.n = item, n

    kind = NodeType(
        Box,
        lambda box: ([box.item], json.dumps({"n": box.n}, indent=1)),
        lambda parts, context: Box(*parts, **json.loads(context)),
    )
    spec = parse_spec(CUSTOM)
    assert json.loads(print_spec(spec)) == json.loads(CUSTOM)
    box = unflatten([7], spec, {"os.system": kind})
    assert (box.item, box.n) == (7, 1)
    assert flatten(box, spec, {"os.system": kind}) == [7]
    with pytest.raises(TreeMismatch, match="context"):
        flatten(Box(7, 2), spec, {"os.system": kind})
    with pytest.raises(TreeMismatch, match="got list of 1"):
        flatten([7], spec, {"os.system": kind})


def test_the_context_of_a_registered_type_may_be_an_object():
    written = text(node("a.B", {"n": [1, 2]}, LEAF_NODE))
    assert json.loads(print_spec(parse_spec(written))) == json.loads(written)


# --------------------------------------------------------------------------------------------- bad specs
