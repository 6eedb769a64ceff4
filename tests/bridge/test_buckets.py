"""Buckets as a user names them, and as an artifact keeps them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch

import bridge
from bridge.buckets import Buckets, axis_name, bucket_sizes, from_json, read_buckets, read_words, to_json
from bridge.errors import UsageError
from bridge.sizes import dynamic_axes
from lowering.ir.program import Program


class Masked(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (x * mask).sum(1) / mask.sum(1)


@cache
def program() -> Program:
    batch, length = torch.export.Dim("batch", max=600), torch.export.Dim("length", max=600)
    example = torch.rand(3, 5), torch.ones(3, 5)
    shapes = {0: batch, 1: length}
    return bridge.lower(torch.export.export(Masked(), example, dynamic_shapes=(shapes, shapes))).program


def symbols() -> tuple[str, str]:
    batch, length, *_ = dynamic_axes(program()).values()
    return str(batch), str(length)


def test_sizes_ascend_and_come_once() -> None:
    assert Buckets([8, 1, 8, 4]).sizes == (1, 4, 8)


@pytest.mark.parametrize("sizes", [[], [0, 4], [2.0], [True], ["4"]])
def test_sizes_are_numbers_of_1_or_more(sizes: Any) -> None:
    with pytest.raises(UsageError, match="buckets are sizes of 1 or more"):
        Buckets(sizes)


def test_axes_are_named_as_for_sizes() -> None:
    batch, length = symbols()
    stated = Buckets([16], fill={"mask": 0.0})
    found = read_buckets(program(), {"x.0": [1, 4], length: stated})
    assert found == {batch: Buckets([1, 4]), length: stated}
    assert (axis_name(program(), batch), axis_name(program(), length)) == ("x.0", "x.1")
    assert bucket_sizes(program(), found) == [{batch: 1, length: 16}, {batch: 4, length: 16}]
    assert bucket_sizes(program(), {}) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"y.0": [4]}, "no dynamic size 'y.0'"),
        ({"x.0": [4, 601]}, "x.0 cannot be 601: the program allows 0 to 600"),
        ({"x.0": [4], "mask.0": [8]}, "mask.0 has its buckets already"),
        ({"x.0": Buckets([4], {"y": 0})}, "x.0 is not an axis of 'y'"),
        ({"x.0": Buckets([4], {"x": True})}, "True cannot be an element of x, which is float32"),
    ],
)
def test_what_the_program_does_not_have_is_refused(given: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_buckets(program(), given)


def test_too_many_combinations_are_refused() -> None:
    batch, length = symbols()
    many = {batch: Buckets(range(1, 18)), length: Buckets(range(1, 17))}
    with pytest.raises(UsageError, match="these are 272 combinations of buckets; 256 is the most"):
        bucket_sizes(program(), many)


def test_words_of_a_command_line() -> None:
    found = read_words(["x.0=1,4..8:2"], ["x.1=16"], ["mask=0", "x=0.5", "p=true"])
    assert found == {
        "x.0": Buckets([1, 4, 6, 8]),
        "x.1": Buckets([16], {"mask": 0, "x": 0.5, "p": True}),
    }


@pytest.mark.parametrize(
    ("words", "stated", "fill", "problem"),
    [
        (["x.0=1"], [], ["x=0"], "--fill is for --stated-buckets"),
        (["x.0=1"], ["x.0=1"], [], "x.0 has its buckets already"),
        ([], ["x.0=1"], ["x=a"], "an element of padding is given as NAME=0, not 'x=a'"),
        (["x.0"], [], [], "sizes are given as NAME=1,8"),
    ],
)
def test_other_words_are_refused(words: list[str], stated: list[str], fill: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_words(words, stated, fill)


def test_json_keeps_all() -> None:
    buckets = {"s0": Buckets([1, 4]), "s1": Buckets([16], {"mask": 0, "x": 0.5, "p": True})}
    assert from_json(json.loads(json.dumps(to_json(buckets)))) == buckets


@pytest.mark.parametrize(
    "row", [{"sizes": [0], "fill": None}, {"sizes": [4], "fill": {"x": "0"}}, {"fill": None}]
)
def test_other_json_is_refused(row: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        from_json({"s0": row})
