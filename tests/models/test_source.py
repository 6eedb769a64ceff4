"""The source of real architectures exports as the program again, and takes its weights strictly."""

from __future__ import annotations

import pytest
import torch

import bridge
from benchmarks.cases import CASES
from tests.lowering.python.reexport import canonical, exported_again
from tests.models.registry import models, published
from tests.zoo.inspection import source_back

# Bridge lowers it from a strict export; in one that is not strict its caches are constants.
SMALL = [name for name in CASES if name not in ("gpt2-decode", "llama-decode", "qwen2-decode")]


def check(exported: torch.export.ExportedProgram, name: str) -> str:
    program = bridge.extract(exported, name=name)
    source = program.to_python("Model")
    assert canonical(exported_again(program, source, "Model")) == canonical(program), source
    return source


def test_bert_is_short_and_has_its_layers() -> None:
    source = check(models()["bert-base"].build().export(), "bert")
    for text in (
        "self.word_embeddings = nn.Embedding(99, 32, padding_idx=0)",
        "self.query = nn.Linear(32, 32)",
        "attention = F.scaled_dot_product_attention(",
        "self.LayerNorm = nn.LayerNorm(32, eps=1e-12)",
        "self.layer = nn.ModuleList([Layer() for _ in range(2)])",
        "for layer in self.layer:",
    ):
        assert text in source


# Its scan maps over no rows at its last level, which torch does not export.
ON_NO_ROWS = "min-gru"


@pytest.mark.conformance
@pytest.mark.parametrize("name", models())
def test_the_zoo(name: str) -> None:
    found = source_back(models()[name].build().export(), name)
    assert found.endswith(" runs a graph on no rows") if name == ON_NO_ROWS else found == "equal"


@pytest.mark.conformance
@pytest.mark.parametrize("name", SMALL)
def test_the_cases(name: str) -> None:
    check(CASES[name].build(True, 2, torch.float32).export(), name)


PUBLISHED = [*published(), "mobilenetv3", "lstm", "unet"]


@pytest.mark.conformance
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    in_zoo = name in published()
    model = models()[name].build(small=False) if in_zoo else CASES[name].build(False, 1, torch.float32)
    source = check(model.export(), name)
    if name == "bert-base":
        assert source.count("\n") < 250
        assert "nn.ModuleList([Layer() for _ in range(12)])" in source
