"""The source of real architectures exports as the program again, and takes its weights strictly."""

from __future__ import annotations

import pytest
import torch

import bridge
from benchmarks.cases import CASES
from tests.lowering.python.reexport import canonical, exported_again
from tests.models.dynamic import MODELS
from tests.models.zoo import ZOO

# Bridge lowers it from a strict export; in one that is not strict its caches are constants.
SMALL = [name for name in CASES if name not in ("gpt2-decode", "llama-decode", "qwen2-decode")]


def check(exported: torch.export.ExportedProgram, name: str) -> str:
    program = bridge.extract(exported, name=name)
    source = program.to_python("Model")
    assert canonical(exported_again(program, source, "Model")) == canonical(program), source
    return source


def test_bert_is_short_and_has_its_layers() -> None:
    source = check(ZOO["bert-base"](True).export(), "bert")
    for text in (
        "self.word_embeddings = nn.Embedding(99, 32, padding_idx=0)",
        "self.query = nn.Linear(32, 32)",
        "attention = F.scaled_dot_product_attention(",
        "self.LayerNorm = nn.LayerNorm(32, eps=1e-12)",
        "self.layer = nn.ModuleList([Layer() for _ in range(2)])",
        "for layer in self.layer:",
    ):
        assert text in source


@pytest.mark.conformance
@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(name: str) -> None:
    check(ZOO[name](True).export(), name)


@pytest.mark.conformance
@pytest.mark.parametrize("name", SMALL)
def test_the_cases(name: str) -> None:
    check(CASES[name].build(True, 2, torch.float32).export(), name)


@pytest.mark.conformance
@pytest.mark.parametrize("name", MODELS)
def test_dynamic_sizes(name: str) -> None:
    check(MODELS[name].export(), name)


PUBLISHED = [*ZOO, "mobilenetv3", "lstm", "unet"]


@pytest.mark.conformance
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    model = ZOO[name](False) if name in ZOO else CASES[name].build(False, 1, torch.float32)
    source = check(model.export(), name)
    if name == "bert-base":
        assert source.count("\n") < 250
        assert "nn.ModuleList([Layer() for _ in range(12)])" in source
