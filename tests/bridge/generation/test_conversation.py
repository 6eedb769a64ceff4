"""A conversation keeps its positions: what its decoder is asked for, and which tokens it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bridge.errors import UsageError
from bridge.generation.conversation import Conversation, SourceConversation


class Recorder:
    """A decoder that only notes its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Any]]] = []

    def prefill(self, *given: torch.Tensor) -> torch.Tensor:
        self.calls.append(("prefill", [g.clone() for g in given]))
        return torch.zeros(given[0].shape[0], 3)

    def decode(self, *given: torch.Tensor) -> torch.Tensor:
        self.calls.append(("decode", [g.clone() for g in given]))
        return torch.zeros(given[0].shape[0], 3)


def tokens(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_a_prompt_is_padded_behind_and_steps_go_on_at_its_end() -> None:
    decoder = Recorder()
    conversation = Conversation(decoder, 2, 40)
    mask = tokens([0, 0, 1], [1, 1, 1])
    conversation.read(tokens([0, 0, 5], [6, 7, 8]), mask)
    conversation.read(tokens([1], [2]))
    (first, (given, start, shown, last)), (second, step) = decoder.calls
    assert (first, second, conversation.position) == ("prefill", "decode", 4)
    assert (list(given.shape), start.tolist(), last.tolist()) == ([2, 16], [0], [2])
    assert given[:, 3:].sum() == 0
    assert shown.dtype is torch.bool
    assert shown.tolist() == [[False, False] + [True] * 38, [True] * 40]
    assert (step[0].tolist(), step[1].tolist(), step[3].tolist()) == ([[1], [2]], [3], [0])
    assert step[2].equal(shown)


def test_a_long_prompt_fits_at_the_end() -> None:
    decoder = Recorder()
    conversation = Conversation(decoder, 1, 40)
    conversation.read(torch.zeros(1, 21, dtype=torch.int64))
    conversation.read(torch.zeros(1, 17, dtype=torch.int64))
    assert [call[1][0].shape[1] for call in decoder.calls] == [32, 19]
    assert conversation.position == 38


def test_a_conversation_goes_back() -> None:
    decoder = Recorder()
    conversation = Conversation(decoder, 1, 40)
    conversation.read(tokens([1, 2, 3]))
    conversation.roll_back(1)
    conversation.read(tokens([4]))
    assert (decoder.calls[-1][1][1].tolist(), conversation.position) == ([1], 2)
    with pytest.raises(UsageError, match="position 3 was not reached: the conversation is at 2"):
        conversation.roll_back(3)


@pytest.mark.parametrize(
    ("given", "mask", "message"),
    [
        (torch.zeros(1, 2), None, "tokens are torch.float32 [1, 2], and must be int64 [2, n]"),
        (tokens([1, 2]), None, "tokens are torch.int64 [1, 2], and must be int64 [2, n]"),
        (torch.zeros(2, 0, dtype=torch.int64), None, "there are no tokens to read"),
        (
            torch.zeros(2, 41, dtype=torch.int64),
            None,
            "41 tokens behind 0 are more than the 40 positions of the caches: export with a greater length",
        ),
        (tokens([1, 2], [1, 2]), tokens([1], [1]), "the mask has sizes [2, 1], and the tokens [2, 2]"),
        (
            tokens([1, 2], [1, 2]),
            tokens([1, 0], [1, 1]),
            "the mask has padding behind a token: padding stands before a row's first token",
        ),
        (tokens([1, 2], [1, 2]), tokens([0, 0], [1, 1]), "the mask has a row without a token"),
    ],
)
def test_tokens_that_do_not_fit_change_nothing(given: Any, mask: Any, message: str) -> None:
    decoder = Recorder()
    conversation = Conversation(decoder, 2, 40)
    with pytest.raises(UsageError) as raised:
        conversation.read(given, mask)
    assert str(raised.value) == message
    assert (decoder.calls, conversation.position) == ([], 0)


def test_padding_comes_with_the_first_tokens() -> None:
    conversation = Conversation(Recorder(), 1, 40)
    conversation.read(tokens([1, 2]))
    with pytest.raises(UsageError, match="the mask has padding, and the rows' first tokens were read before"):
        conversation.read(tokens([1, 2]), tokens([0, 1]))


def test_an_answer_to_a_source_begins_with_a_prefill() -> None:
    decoder = Recorder()
    source, mask = tokens([5, 6, 7], [8, 9, 0]), tokens([1, 1, 1], [1, 1, 0])
    conversation = SourceConversation(decoder, source, mask, length=9, source_length=5)
    conversation.read(tokens([0, 3], [0, 3]))
    (first, (heard, token, shown)), (second, (step, start, again)) = decoder.calls
    assert (first, second, conversation.position) == ("prefill", "decode", 2)
    assert heard.equal(source)
    assert (token.tolist(), step.tolist(), start.tolist()) == ([[0], [0]], [[3], [3]], [1])
    assert shown.tolist() == [[True, True, True, False, False], [True, True, False, False, False]]
    assert again.equal(shown)
    with pytest.raises(UsageError, match="8 tokens behind 2 are more than the 9 positions"):
        conversation.read(torch.zeros(2, 8, dtype=torch.int64))
    with pytest.raises(UsageError, match="an answer to a source has none"):
        conversation.read(tokens([1], [1]), tokens([0], [1]))


def test_features_have_no_mask() -> None:
    decoder = Recorder()
    SourceConversation(decoder, torch.zeros(1, 4, 6), length=9, source_length=3).read(tokens([0]))
    assert len(decoder.calls[0][1]) == 2
