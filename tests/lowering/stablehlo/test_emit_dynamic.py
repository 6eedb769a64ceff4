"""Modules for all sizes: what they are, and what refining them gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import bridge
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.symbols import to_text
from lowering.stablehlo.emit_dynamic import emit_dynamic, try_symbolically
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.refine import refined

AUTO = torch.export.Dim.AUTO


class Attention(torch.nn.Module):
    """Tokens of a batch attend to one another."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(11, 8)
        self.places = torch.nn.Embedding(64, 8)
        self.mix = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.norm(x + self.mix(x, x, x, need_weights=False)[0])


def exported() -> Any:
    batch, length = torch.export.Dim("batch", max=16), torch.export.Dim("length", max=64)
    return torch.export.export(
        Attention().eval(), (torch.zeros(3, 5, dtype=torch.int64),), dynamic_shapes=({0: batch, 1: length},)
    )


def dynamic(lowered: bridge.Lowered) -> DynamicModule:
    (segment,) = lowered.plan.segments
    nodes = [node for node in lowered.functional.graph.nodes if node.name in set(segment.nodes)]
    return emit_dynamic(
        lowered.functional, nodes, segment.inputs, segment.outputs, lowered.example_sizes, "segment_0"
    )


def by_range(module: DynamicModule, batch: int, length: int) -> Mapping[str, int]:
    return {name: batch if bounds.high == 16 else length for name, bounds in module.ranges.items()}


def test_one_module_for_all_sizes_without_a_guard() -> None:
    module = dynamic(bridge.lower(exported()))
    assert [to_text(guard.condition) for guard in module.guards] == []
    assert "tensor<?x?xi64>" in text_of(module.code)
    tokens = next(port for port in module.inputs if port.weight is None)
    assert module.outputs[0].sizes == (*tokens.sizes, 8)


class Spectrum(torch.nn.Module):
    """Powers of a signal's frames."""

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        window = torch.hann_window(16)
        return torch.stft(signal, 16, 4, window=window, return_complex=True).abs().square()


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (Spectrum(), torch.zeros(3, 50)),
        # Offsets of bags are a range whose step is a size.
        (torch.nn.EmbeddingBag(11, 4), torch.zeros(3, 5, dtype=torch.int64)),
    ],
    ids=["frames of a signal", "bags of any number of words"],
)
def test_what_torch_composes_has_one_module_too(module: torch.nn.Module, example: torch.Tensor) -> None:
    shapes = ({0: AUTO, 1: AUTO},)
    lowered = bridge.lower(torch.export.export(module.eval(), (example,), dynamic_shapes=shapes))
    assert [to_text(guard.condition) for guard in dynamic(lowered).guards] == []


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (16, 64), (3, 5), (2, 7)])
def test_refined_it_is_static_and_gives_what_eager_gives(batch: int, length: int) -> None:
    import numpy as np

    from lowering.host.weights import materialise
    from lowering.targets import get_engine
    from lowering.targets.target import TargetOptions

    lowered = bridge.lower(exported())
    module = refined(dynamic(lowered), by_range(dynamic(lowered), batch, length))
    assert "?" not in text_of(module.code)
    tokens = torch.randint(0, 11, (batch, length))
    engine, target = get_engine("xla"), TargetOptions()
    names = [port.weight for port in module.inputs if port.weight is not None]
    weights = materialise(lowered.weights, names)
    executable = engine.load(engine.compile(module, target), module, target, weights)
    result, *flags = executable([engine.from_tensor(tokens, target)])
    assert not any(np.any(engine.to_numpy(flag)) for flag in flags)
    torch.testing.assert_close(engine.to_torch(result), Attention().eval()(tokens), rtol=1e-5, atol=1e-5)


def test_a_module_admits_its_range_alone() -> None:
    module = dynamic(bridge.lower(exported()))
    assert module.admits(by_range(module, 1, 64))
    assert not module.admits(by_range(module, 17, 64))
    assert not module.admits(by_range(module, 0, 3))
    assert not module.admits({})


def test_a_size_that_a_rule_takes_as_a_number_is_the_nodes_reason() -> None:
    class Larger(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(x * 2 + 1, size=(9, 9), mode="bicubic", antialias=True)

    program = bridge.lower(
        torch.export.export(Larger(), (torch.rand(1, 2, 4, 5),), dynamic_shapes=({2: AUTO},))
    )
    reasons, _ = try_symbolically(program.functional, program.example_sizes)
    (name,) = [node.name for node in program.functional.graph.nodes if "bicubic" in node.target]
    assert "takes the size" in reasons[name]
    assert len(reasons) == 1
    with pytest.raises(Unsupported, match="takes the size"):
        dynamic(program)


def test_a_size_that_no_tensor_shows_is_an_argument() -> None:
    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.reshape(-1, y.shape[0] * y.shape[1]) + 1

    lowered = bridge.lower(
        torch.export.export(
            Twice(),
            (torch.zeros(2, 12), torch.zeros(3, 4)),
            dynamic_shapes=({0: AUTO, 1: AUTO}, {0: AUTO, 1: AUTO}),
        )
    )
    (segment,) = lowered.plan.segments
    nodes = list(lowered.functional.graph.nodes)
    only = [name for name in segment.inputs if name == "x"]
    module = emit_dynamic(lowered.functional, nodes, only, segment.outputs, lowered.example_sizes, "main")
    sizes = dict(lowered.example_sizes)
    assert all(port.symbol is None or port.symbol in sizes for port in module.inputs)
    static = refined(module, sizes)
    assert "?" not in text_of(static.code)
    assert [port.name for port in static.inputs] == only
