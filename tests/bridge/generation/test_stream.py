"""The loop: where a row ends, what stands behind it, and what a processor sees."""

from __future__ import annotations

import pytest
import torch

from bridge.errors import UsageError
from bridge.generation.stream import generate, stream

PROMPT = torch.tensor([[7, 1], [7, 4]])


class Counting:
    """Says that the next token is the last one plus 1, of 9."""

    def __init__(self) -> None:
        self.read_tokens: list[list[list[int]]] = []

    def read(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        self.read_tokens.append(tokens.tolist())
        return torch.nn.functional.one_hot((tokens[:, -1] + 1) % 9, 9).float()


def test_tokens_come_one_by_one_and_the_last_are_not_read() -> None:
    conversation = Counting()
    answer = stream(conversation, PROMPT, 3)
    assert next(answer).tolist() == [2, 5]
    assert conversation.read_tokens == [PROMPT.tolist()]
    assert [tokens.tolist() for tokens in answer] == [[3, 6], [4, 7]]
    assert conversation.read_tokens == [PROMPT.tolist(), [[2], [5]], [[3], [6]]]


def test_a_row_that_has_ended_is_padded() -> None:
    found = generate(Counting(), PROMPT, 9, stop=(6, 4), pad=8)
    assert found.tolist() == [[7, 1, 2, 3, 4], [7, 4, 5, 6, 8]]


def test_a_processor_changes_the_logits() -> None:
    seen = []

    def never_three(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.shape[1])
        return logits.index_fill(1, torch.tensor([3]), -1.0)

    found = generate(Counting(), PROMPT[:1], 3, processor=never_three)
    assert found.tolist() == [[7, 1, 2, 0, 1]]
    assert seen == [2, 3, 4]


def test_there_is_a_token_to_make() -> None:
    with pytest.raises(UsageError, match="max_new_tokens is 0, and is 1 or more"):
        next(stream(Counting(), PROMPT, 0))
