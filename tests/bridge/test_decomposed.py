"""Programs that torch's whole table of decompositions took apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.export.graph_signature import InputKind

import bridge

ENGINES = ("xla", "iree", "aten")


class Everything(nn.Module):
    """Convolutions, norms, pools, attention, indexing, reductions and sizes that depend on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.last, self.layer = nn.Linear(16, 5), nn.LayerNorm(5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = nn.functional.max_pool2d(nn.functional.gelu(self.norm(self.conv(x))), 3)
        y = self.layer(self.last(y.flatten(1)))
        scores = torch.softmax(y @ y.transpose(0, 1), -1)
        ordered = torch.where(y > 0, y, y.abs().sqrt()).clamp(-1, 1)
        steps = torch.arange(y.shape[0]) % 3
        whole = x[:, 0, 0].mul(9).round()
        signed = torch.copysign(whole, -x[:, 1, 0]), torch.signbit(whole).sum(), whole // 3
        reduced = y.var(1), y.std(), ordered.mean(0), y.prod(1)
        return scores.transpose(0, 1) + 1, y[:, steps[:2]], *signed, *reduced


@pytest.fixture(scope="module")
def decomposed() -> tuple[nn.Module, bridge.Lowered]:
    torch.manual_seed(0)
    model = Everything().eval()
    batch = Dim("batch", min=2, max=64)
    with torch.no_grad():
        exported = torch.export.export(model, (torch.randn(4, 3, 8, 8),), dynamic_shapes=({0: batch},))
        exported = exported.run_decompositions(torch._decomp.decomposition_table)
    return model, bridge.lower(exported)


def test_a_wholly_decomposed_program_is_wholly_lowered(decomposed: tuple[nn.Module, bridge.Lowered]) -> None:
    _, lowered = decomposed
    assert set(lowered.placement.values()) == {"stablehlo"}
    targets = {node.target for node in lowered.program.graph.nodes}
    assert len({target for target in targets if target.startswith("prims.")}) > 12


@pytest.mark.parametrize("engine", ENGINES)
def test_it_equals_eager(decomposed: tuple[nn.Module, bridge.Lowered], engine: str) -> None:
    model, lowered = decomposed
    compiled = lowered.compile(engine)
    for batch in (4, 2):
        x = torch.randn(batch, 3, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x), rtol=2e-5, atol=2e-5)


def test_where_prims_note_another_dtype_than_eager_gives_the_node_is_eager_s() -> None:
    """torch's decompositions convert before; a program written by hand need not."""

    class Whole(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            prims = torch.ops.prims
            return prims.sin(x), prims.atan2(x, x), prims.cbrt(x), prims.div(x > 0, x > 0), prims.neg(x)

    lowered = bridge.lower(Whole(), (torch.arange(4),))
    reasons = [reason for reason in lowered.placement.values() if reason != "stablehlo"]
    assert [reason.partition(",")[0] for reason in reasons[:4]] == ["aten: eager gives float32"] * 4


class Solved(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.linalg.inv(x), torch.linalg.solve(x, x + 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_checks_in_the_order_of_tokens_are_eagers(engine: str, tmp_path: Path) -> None:
    """`run_decompositions` puts what may raise in an order, by a token that no caller gives."""
    x = torch.randn(3, 3) + 4 * torch.eye(3)
    exported = torch.export.export(Solved(), (x,)).run_decompositions()
    assert any(spec.kind is InputKind.TOKEN for spec in exported.graph_signature.input_specs)
    torch.export.save(exported, tmp_path / "solved.pt2")
    lowered = bridge.lower(tmp_path / "solved.pt2")
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile(engine)
    torch.testing.assert_close(compiled(x), Solved()(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(torch.linalg.LinAlgError, match=r"linalg\.inv"):
        compiled(torch.zeros(3, 3))
