"""Sizes as a user names them."""

from __future__ import annotations

from functools import cache

import pytest

import bridge
from bridge.errors import UsageError
from bridge.sizes import dynamic_axes, read_sizes, sizes_by_symbol
from lowering.ir.program import Program
from tests.lowering.stablehlo.test_emit_dynamic import exported


@cache
def program() -> Program:
    return bridge.lower(exported()).program


def symbols() -> tuple[str, str]:
    batch, length = dynamic_axes(program()).values()
    return str(batch), str(length)


def test_axes_have_names() -> None:
    assert list(dynamic_axes(program())) == ["tokens.0", "tokens.1"]


def test_every_combination_is_one() -> None:
    batch, length = symbols()
    found = read_sizes(program(), ["tokens.0=1,8", "tokens.1=16..48:16"])
    assert [(sizes[batch], sizes[length]) for sizes in found] == [
        (1, 16), (1, 32), (1, 48), (8, 16), (8, 32), (8, 48),
    ]  # fmt: skip


def test_what_is_not_named_is_the_examples() -> None:
    batch, length = symbols()
    assert read_sizes(program(), [f"{batch}=2"]) == [{batch: 2, length: 5}]
    assert sizes_by_symbol(program(), {"tokens.1": 7}) == {batch: 3, length: 7}


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("tokens.0", "sizes are given as NAME=1,8"),
        ("token.0=3", "no dynamic size 'token.0'; it has tokens.0, tokens.1, .*did you mean"),
        ("tokens.0=17", "tokens.0 cannot be 17: the program allows 0 to 16"),
        ("tokens.0=a", "'a' is neither a size nor a range"),
        ("tokens.0=8..4", "neither a size nor a range"),
        ("tokens.1=1..64:0", "neither a size nor a range"),
        ("tokens.1=0..99999999999", "is more than 256 sizes"),
    ],
)
def test_bad_sizes_are_told(word: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_sizes(program(), [word])


def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(UsageError, match="1024 combinations of sizes; 256 is the most"):
        read_sizes(program(), ["tokens.0=1..16", "tokens.1=1..64"])
