"""Prompts are padded to powers of two."""

from __future__ import annotations

from bridge.generation.buckets import bucket_of


def test_a_bucket_holds_the_prompt_and_is_at_most_twice_as_long() -> None:
    assert [bucket_of(n) for n in (1, 2, 16, 17, 32, 33, 500)] == [16, 16, 16, 32, 32, 64, 512]
    assert all(n <= bucket_of(n) < max(17, 2 * n) for n in range(1, 2000))
