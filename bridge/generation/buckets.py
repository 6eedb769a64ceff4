"""The lengths that prompts are padded to."""

from __future__ import annotations

# A prompt costs at most twice what it would at its own length, and there are few lengths to compile for.
LEAST = 16


def bucket_of(count: int) -> int:
    """The least power of two that is at least `count`, and at least 16."""
    return max(LEAST, 1 << (count - 1).bit_length())
