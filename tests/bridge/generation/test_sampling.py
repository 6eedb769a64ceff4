"""Tokens are chosen as transformers does: the likeliest, or drawn from what is left of the logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bridge.errors import UsageError
from bridge.generation.sampling import GREEDY, Sampling

LOGITS = torch.tensor([[0.5, 2.0, 2.0, -1.0, 0.0], [3.0, -3.0, 0.0, 1.0, 2.9]])


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    assert GREEDY.choose(LOGITS).tolist() == [1, 0]
    assert GREEDY.choose(LOGITS.to(torch.bfloat16)).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 2, 3, 9])
@pytest.mark.parametrize("top_p", [None, 0.01, 0.5, 0.9, 1.0])
def test_what_is_left_is_what_transformers_leaves(temperature: float, top_k: Any, top_p: Any) -> None:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    generator = torch.Generator().manual_seed(0)
    logits = torch.cat([LOGITS, torch.randn(6, 5, generator=generator) * 3])
    expected = TemperatureLogitsWarper(temperature)(None, logits)  # pyright: ignore[reportArgumentType]
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)  # pyright: ignore[reportArgumentType]
    if top_p is not None and top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)  # pyright: ignore[reportArgumentType]
    found = Sampling(temperature, top_k, top_p).restricted(logits)
    torch.testing.assert_close(found, expected)


def test_the_generator_decides() -> None:
    def drawn(seed: int) -> list[int]:
        sampling = Sampling(1.5, generator=torch.Generator().manual_seed(seed))
        return [int(sampling.choose(LOGITS)[0]) for _ in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) <= {0, 1, 2, 3, 4}
    only = Sampling(1.5, top_k=2, generator=torch.Generator().manual_seed(1))
    assert {int(only.choose(LOGITS)[0]) for _ in range(50)} == {1, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, and is a finite number of 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan, and is a finite number of 0 or more"),
        ({"top_k": 0}, "top_k is 0, and is 1 or more"),
        ({"top_p": 0.0}, "top_p is 0.0, and is above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p is 1.5, and is above 0 and at most 1"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Sampling(**options)
    assert str(raised.value) == message
