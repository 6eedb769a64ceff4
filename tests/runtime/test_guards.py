"""Guards: which can be checked, what they read of an input, and the sentence where one does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.argument_paths import LeafPath
from lowering.ir.program import Guard
from lowering.ir.symbol_parser import parse_guard
from lowering.targets.errors import InputError
from runtime.guards import Guards

PATHS = [LeafPath("x", "L['x']"), LeafPath("batch['n']", "L['batch']['n']")]
X = torch.zeros(4, 6)


def guards(text: str) -> Guards:
    return Guards([Guard(text, parse_guard(text))], PATHS)


@pytest.mark.parametrize(
    ("text", "leaves", "message"),
    [
        ("L['x'].size()[1] > 6", (X, 2), "x.size(1) > 6, but x.size(1) is 6"),
        ("L['x'].stride()[0] == 1", (X, 2), "x.stride(0) == 1, but x.stride(0) is 6"),
        ("L['x'].storage_offset() > 0", (X, 2), "x.storage_offset() > 0, but x.storage_offset() is 0"),
        ("L['batch']['n'] > 2", (X, np.int64(2)), "batch['n'] > 2, but batch['n'] is 2"),
        ("L['x'].stride()[0] == 1", (X.numpy(), 2), "x.stride(0) == 1, but x.stride(0) is 6"),
    ],
)
def test_one_that_does_not_hold_is_told_in_the_callers_words(
    text: str, leaves: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        guards(text).check(leaves, {})
    assert str(caught.value) == f"the program was exported for {message}"


def test_one_that_holds_says_nothing() -> None:
    found = guards("L['x'].size()[0]*L['batch']['n'] == 8")
    assert found
    found.check((X, 2), {})
    with pytest.raises(InputError):
        found.check((X, 3), {})


def test_one_that_names_no_input_is_not_checked() -> None:
    found = guards("L['self'].size()[0] == 4")
    assert not found
    assert found.unchecked == ("L['self'].size()[0] == 4",)
    found.check((X, 2), {})
