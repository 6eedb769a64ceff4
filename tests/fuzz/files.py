"""Mutated `.pt2` files through reading, lowering and ATen: `python -m tests.fuzz.files --cases 100000`."""

from __future__ import annotations

import random
import tempfile
import warnings
from functools import cache
from pathlib import Path

import torch

import bridge
from bridge.cli.summary import summary
from bridge.verification.draw import example_call
from lowering import hlo
from tests.fuzz.campaign import Campaign
from tests.fuzz.mutations import damaged_file
from tests.pt2_samples import ROOT


def make(number: int) -> bytes:
    rng = random.Random(number)
    return damaged_file(rng.choice(_samples()), rng)


def act(content: bytes) -> str:
    """Read, lower, describe, call on ATen. A refusal is a BridgeError in one line; all else is a finding."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.pt2")
        path.write_bytes(content)
        try:
            lowered = bridge.lower(path)
            summary(lowered)
            compiled = lowered.compile("aten")
            args, kwargs = example_call(lowered)
            compiled(*args, **kwargs)
        except bridge.BridgeError as error:
            return "refused" if str(error).strip() else "refused without a word"
    return "ran"


@cache
def _samples() -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob("*/*.pt2")) if path.stat().st_size < 40_000]


CAMPAIGN = Campaign("files", make, act, ".pt2")

if __name__ == "__main__":
    # Children inherit what is imported here; and no thread, for they are forked.
    torch.set_num_threads(1)
    hlo.make_context()
    CAMPAIGN.main(default_cases=100_000)
