"""The experts of a mixture, as transformers exports them: its own operator, which lowers without it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import Dim

import bridge

importlib.import_module("transformers.integrations.moe")


class Experts(nn.Module):
    """Each row times the matrix of its expert: rows sorted by expert, multiplied in groups, put back."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8, 16))

    def forward(self, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        order = torch.argsort(which)
        counts = (which[:, None] == torch.arange(4)).sum(0)
        ends = counts.cumsum(0).to(torch.int32)
        mixed = torch.ops.transformers.grouped_mm_fallback(x[order], self.weight.transpose(1, 2), ends)
        return torch.zeros_like(mixed).index_copy(0, order, mixed)


X, WHICH = torch.randn(6, 16), torch.tensor([2, 0, 2, 3, 0, 2])


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Experts().eval()


@pytest.fixture(scope="module")
def path(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = Dim("rows", min=2, max=64)
    exported = torch.export.export(model, (X, WHICH), dynamic_shapes=({0: rows}, {0: rows}))
    found = tmp_path_factory.mktemp("experts") / "m.pt2"
    torch.export.save(exported, found)
    return found


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_experts_equal_eager(model: nn.Module, path: Path, engine: str) -> None:
    lowered = bridge.lower(path)
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile(engine)
    for x, which in ((X, WHICH), (torch.randn(40, 16), torch.randint(0, 4, (40,)))):
        with torch.no_grad():
            torch.testing.assert_close(compiled(x, which), model(x, which))


def test_lowering_them_imports_neither_torch_nor_transformers(path: Path) -> None:
    code = (
        "import sys, bridge; lowered = bridge.lower(sys.argv[1]); "
        "print(set(lowered.placement.values()), {'torch', 'transformers'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "{'stablehlo'} set()\n"


def test_running_them_on_aten_brings_transformers(path: Path) -> None:
    code = (
        "import sys, bridge, torch; compiled = bridge.lower(sys.argv[1]).compile('aten'); "
        "compiled(torch.ones(3, 16), torch.tensor([0, 1, 1])); print('transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"


@pytest.mark.conformance
def test_a_whole_mixture_through_the_command_line(tmp_path: Path) -> None:
    """Its container's class comes with the package that its operators bring, for all sides alike."""
    import transformers as hf

    torch.manual_seed(0)
    model = hf.MixtralForCausalLM(
        hf.MixtralConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=4,
            vocab_size=99,
        )
    ).eval()
    ids = torch.randint(0, 99, (1, 7))
    exported = torch.export.export(model, (), {"input_ids": ids, "use_cache": False})
    torch.export.save(exported, tmp_path / "m.pt2")
    verify = [sys.executable, "-m", "bridge", "verify", str(tmp_path / "m.pt2"), "-e", "xla,iree"]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| 237 | 0 |" in done.stdout
