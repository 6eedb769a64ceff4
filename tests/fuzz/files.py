"""Mutated `.pt2` files through reading, lowering and ATen: `python -m tests.fuzz.files --cases 100000`."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

import torch

import bridge
from lowering.stablehlo import hlo
from tests.fuzz.campaign import Campaign, attempt
from tests.fuzz.mutations import damaged_file
from tests.pt2_samples import ROOT


def make(number: int) -> bytes:
    rng = random.Random(number)
    return damaged_file(rng.choice(_samples()), rng)


def act(content: bytes) -> str:
    """Read a file with this content, lower it, and go on as `attempt` does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.pt2")
        path.write_bytes(content)
        return attempt(lambda: bridge.lower(path))


@cache
def _samples() -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob("*/*.pt2")) if path.stat().st_size < 40_000]


CAMPAIGN = Campaign("files", make, act, ".pt2")

if __name__ == "__main__":
    # Children inherit what is imported here; and no thread, for they are forked.
    torch.set_num_threads(1)
    hlo.make_context()
    CAMPAIGN.main(default_cases=100_000)
