"""How leaves are named, for people and as guards write them."""

from __future__ import annotations

from lowering.ir.argument_paths import LeafPath, leaf_paths, rename, top_level_names
from lowering.ir.errors import did_you_mean
from lowering.ir.tree import LEAF, TreeSpec
from tests.runtime.fakes import tree


def test_leaves_of_containers_have_the_steps_to_them() -> None:
    pair = TreeSpec("collections.namedtuple", '"Pair"', (LEAF, LEAF), ("left", "right"))
    spec = tree(tree(tree(LEAF, tree(LEAF, names=["a"])), pair), tree(LEAF, names=["mask"]))
    assert leaf_paths(spec, ["batch", "pair", "mask"]) == [
        LeafPath("batch[0]", "L['batch'][0]"),
        LeafPath("batch[1]['a']", "L['batch'][1]['a']"),
        LeafPath("pair.left", "L['pair'].left"),
        LeafPath("pair.right", "L['pair'].right"),
        LeafPath("mask", "L['mask']"),
    ]


def test_an_argument_without_a_name_of_its_own_has_a_number() -> None:
    spec = tree(tree(LEAF, LEAF, LEAF), tree(LEAF, names=["y"]))
    assert top_level_names(spec, ["x", "y"]) == (["x", "argument1", "argument2"], ["y"])


def test_a_guard_is_renamed_the_longest_names_first() -> None:
    paths = [LeafPath("x", "L['x']"), LeafPath("x[0]", "L['x'][0]")]
    assert rename("L['x'][0].size()[1] + L['x'].stride()[0]", paths) == "x[0].size(1) + x.stride(0)"


def test_a_name_that_is_near_is_offered() -> None:
    assert did_you_mean("maks", ["x", "mask"]) == "; did you mean `mask`?"
    assert did_you_mean("other", ["x", "mask"]) == ""
