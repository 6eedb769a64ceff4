"""Pytree specs that are not well-formed: each is refused with the reason."""

from __future__ import annotations

import pytest

from lowering.ir.tree import TreeSpecError, parse_spec, unflatten
from tests.lowering.ir.test_tree import LEAF_NODE, NAMED, POINT, node, text, tuple_of


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "not JSON"),
        ("[" * 5000, "not JSON, or nested too deeply"),
        ("[]", "a protocol number and a node"),
        ("[2, {}]", "protocol is 2"),
        (text([]), "needs the fields"),
        (text({"type": None, "children_spec": []}), "needs the fields"),
        (text(node(None, "x")), "a leaf"),
        (text(node(3, "x")), "a tree spec's type is a name"),
        (text(node("builtins.tuple", {}, LEAF_NODE)), "is text, not dict"),
        (text(node("builtins.dict", "3")), "is a list of keys"),
        (text(node("builtins.dict", "{")), "not JSON"),
        (text(node("builtins.dict", '["a"]')), "has 1 keys, but 0 children"),
        (text(node("builtins.dict", '["a", "a"]', LEAF_NODE, LEAF_NODE)), "the same key twice"),
        (text(node("builtins.dict", "[[1]]", LEAF_NODE)), "a dict's key can only be"),
        (text(node("builtins.dict", '[{"__enum__": true}]', LEAF_NODE)), "a dict's key can only be"),
        (text(node("collections.deque", '"x"')), "maximal length"),
    ],
)
def test_a_bad_spec(spec: str, words: str):
    with pytest.raises(TreeSpecError, match=words.replace("(", r"\(")):
        parse_spec(spec)


def test_a_deep_spec():
    root = LEAF_NODE
    for _ in range(150):
        root = tuple_of(root)
    with pytest.raises(TreeSpecError, match="more than 100 deep"):
        parse_spec(text(root))


@pytest.mark.parametrize("fields", [["x", "x"], ["x", "import"], ["x", "_y"], ["x", "a b"], ["x"]])
def test_bad_fields(fields: list[str]):
    with pytest.raises(TreeSpecError):
        parse_spec(text(NAMED), {POINT: fields})


def test_a_factory_that_is_not_known():
    context = {"default_factory_module": "os", "default_factory_name": "getcwd", "dict_context": []}
    spec = parse_spec(text(node("collections.defaultdict", context)))
    with pytest.raises(TreeSpecError, match=r"the factory os\.getcwd"):
        unflatten([], spec)
