"""The benchmark of language models: published sizes, and every part of it on a toy model."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch

from benchmarks.language_model import PARTS, measure
from benchmarks.language_model_measure import configuration

# Parameters of Qwen2.5-0.5B and Llama-3.2-1B, tied embeddings once.
PUBLISHED = {"qwen2-0.5b": 494_032_768, "llama-1b": 1_235_814_400}


@pytest.mark.parametrize("model", sorted(PUBLISHED))
def test_the_sizes_are_the_published_ones(model: str) -> None:
    import transformers as hf

    with torch.device("meta"):
        made = hf.AutoModelForCausalLM.from_config(configuration(model, small=False))
    assert sum(parameter.numel() for parameter in made.parameters()) == PUBLISHED[model]


@pytest.mark.conformance
def test_every_part_measures_a_toy() -> None:
    chosen = Namespace(small=True, seconds=0.1, engines=["xla"], parts=list(PARTS), pin=False, limit=600.0)
    lines = measure("llama-1b", "bfloat16", chosen)
    assert [line["part"] for line in lines] == ["save", *PARTS]
    assert not [line["reason"] for line in lines if "reason" in line]
    numbers = [value for line in lines for value in line.values() if isinstance(value, float)]
    assert numbers
    assert min(numbers) > 0
