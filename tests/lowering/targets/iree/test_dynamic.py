"""One binary of IREE for all sizes gives what eager gives at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.symbols import Symbol
from lowering.targets.iree.engine import Iree
from lowering.targets.target import CPU
from tests.dynamic_program import load_dynamic
from tests.lowering.stablehlo import test_emit_dynamic as attention
from tests.lowering.stablehlo.passes.through import dynamic_module
from tests.models.registry import models


class Layers(torch.nn.Module):
    """Two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(8, 32)
        self.second = torch.nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.nn.functional.gelu(self.first(x)))


class Compiled:
    """A program on one binary for all sizes."""

    def __init__(self, exported: Any) -> None:
        self.eager = exported.module()
        # Of arguments by name, in their order.
        self.names = list(exported.example_inputs[1])
        lowered = bridge.lower(exported)
        self.module: DynamicModule = attention.dynamic(lowered)
        self.executable = load_dynamic(lowered, self.module)

    def sizes(self, tensors: Sequence[torch.Tensor]) -> dict[str, int]:
        ports = [port for port in self.module.inputs if port.weight is None and port.symbol is None]
        return {
            size.name: int(number)
            for port, tensor in zip(ports, tensors, strict=True)
            for size, number in zip(port.sizes, tensor.shape, strict=True)
            if isinstance(size, Symbol)
        }

    def check(self, *tensors: torch.Tensor) -> None:
        """One call gives eager's results, and no check fails."""
        engine = Iree()
        run = self.executable.at(self.sizes(tensors))
        made = run([engine.from_tensor(tensor, CPU) for tensor in tensors])
        want = (
            self.eager(**dict(zip(self.names, tensors, strict=True))) if self.names else self.eager(*tensors)
        )
        wanted = want if isinstance(want, tuple) else (want,)
        for handle, value in zip(made, wanted, strict=False):
            torch.testing.assert_close(engine.to_torch(handle), value, rtol=1e-5, atol=1e-5)
        flags = made[len(wanted) :]
        assert len(flags) == bool(self.module.checks)
        assert not any(np.any(engine.to_numpy(flag)) for flag in flags)


@cache
def layers() -> Compiled:
    batch = torch.export.Dim("batch", max=64)
    return Compiled(torch.export.export(Layers().eval(), (torch.zeros(3, 8),), dynamic_shapes=({0: batch},)))


@cache
def attending() -> Compiled:
    return Compiled(attention.exported())


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_layers_at_each_batch(batch: int) -> None:
    layers().check(torch.randn(batch, 8, generator=torch.Generator().manual_seed(batch)))


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (16, 64), (3, 5), (1, 64)])
def test_attention_at_each_batch_and_length(batch: int, length: int) -> None:
    attending().check(torch.randint(0, 11, (batch, length)))


@pytest.mark.conformance
def test_a_bert_of_two_layers_at_each_batch_and_length() -> None:
    """Masked, with checks of its indices, at both ends of its ranges and between them."""
    found = Compiled(models()["bert-dynamic"].build().export())
    for batch, length in ((1, 1), (8, 16), (3, 7), (2, 9)):
        tokens = torch.randint(0, 99, (batch, length), generator=torch.Generator().manual_seed(length))
        mask = torch.ones(batch, length, dtype=torch.int64)
        mask[0, length // 2 + 1 :] = 0
        found.check(tokens, mask)


@pytest.mark.conformance
def test_a_llama_of_two_layers_at_each_batch_and_length() -> None:
    """Queries in groups, and a scan by which it finds where texts begin."""
    found = Compiled(models()["llama-dynamic"].build().export())
    for batch, length in ((1, 1), (8, 16), (3, 7), (2, 32)):
        found.check(torch.randint(0, 99, (batch, length), generator=torch.Generator().manual_seed(length)))


class Product(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x @ y


@pytest.mark.parametrize(
    ("left", "right"),
    [("n", "n"), ("mn", "n"), ("n", "n4"), ("1n", "n4"), ("m1", "1n"), ("b1n", "bn4"), ("m", "m")],
)
def test_products_of_one_row_and_of_one_term(left: str, right: str) -> None:
    sizes = {"n": 5, "m": 6, "b": 3, "1": 1, "4": 4}
    dims = {name: torch.export.Dim(name, min=2, max=64) for name in "nmb"}
    shapes = [[sizes[axis] for axis in side] for side in (left, right)]
    dynamic = tuple({at: dims[a] for at, a in enumerate(side) if a in dims} for side in (left, right))
    given = tuple(torch.zeros(shape) for shape in shapes)
    found = Compiled(torch.export.export(Product(), given, dynamic_shapes=dynamic))
    for n, m, b in ((1, 1, 1), (9, 7, 2), (64, 64, 64)):
        sizes |= {"n": n, "m": m, "b": b}
        found.check(*(torch.randn([sizes[axis] for axis in side]) for side in (left, right)))


class Written(torch.nn.Module):
    """Parts written into a tensor, at places that are known, and that the data says."""

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = x.clone()
        rows[1:3] = -x[:2]
        column = x.clone()
        column[:, 1] = 7.0
        return rows, column, x.index_add(0, at, x[:2]), x.scatter(0, at[:, None], 2.0)


@pytest.mark.parametrize("n", [3, 9, 64])
def test_parts_that_are_written(n: int) -> None:
    rows, columns = torch.export.Dim("n", min=3, max=64), torch.export.Dim("m", min=3, max=64)
    given = (torch.zeros(5, 6), torch.tensor([1, 2]))
    exported = torch.export.export(Written(), given, dynamic_shapes=({0: rows, 1: columns}, None))
    Compiled(exported).check(torch.randn(n, 67 - n), torch.tensor([0, 2]))


class Pictures(torch.nn.Module):
    """Windows of each kind, at heights and widths that a call says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, 2, 1),
            torch.nn.MaxPool2d(3, 2, 1),
            torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
            torch.nn.Conv2d(8, 12, 1),
            torch.nn.Conv2d(12, 12, 3, padding=2, dilation=2, groups=3),
            torch.nn.AvgPool2d(2, 2),
            torch.nn.ConvTranspose2d(12, 4, 4, 2, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_windows_at_each_height_and_width() -> None:
    dims = {
        0: torch.export.Dim("b", max=8),
        2: torch.export.Dim("h", min=16, max=99),
        3: torch.export.Dim("w", min=16, max=99),
    }
    exported = torch.export.export(Pictures().eval(), (torch.zeros(2, 3, 32, 40),), dynamic_shapes=(dims,))
    compiled = bridge.lower(exported).compile("iree")
    assert isinstance(compiled, bridge.Compiled)
    for b, h, w in ((1, 16, 16), (8, 99, 99), (3, 37, 24)):
        x = torch.randn(b, 3, h, w)
        torch.testing.assert_close(compiled(x), exported.module()(x), rtol=1e-4, atol=1e-4)
    assert compiled.report.tiers == {"static": 0, "dynamic": 3, "aten": 0}


def test_an_index_out_of_bounds_fails_its_check() -> None:
    tokens = torch.full((2, 3), 11)
    run = attending().executable.at(attending().sizes([tokens]))
    *_, flags = run([Iree().from_tensor(tokens, CPU)])
    assert np.any(Iree().to_numpy(flags))


def test_sizes_beyond_the_range_and_tensors_of_other_sizes_are_refused() -> None:
    found = layers()
    with pytest.raises(EngineError, match="not for the sizes"):
        found.executable.at(found.sizes([torch.zeros(65, 8)]))
    with pytest.raises(EngineError, match=r"x is \[4, 8\], not \[3, 8\]"):
        found.executable.at(found.sizes([torch.zeros(3, 8)]))([Iree().from_tensor(torch.zeros(4, 8), CPU)])


def test_a_result_of_other_sizes_than_the_module_says_is_an_error() -> None:
    """The binary of one module with the ports of another."""
    text = """
func.func public @main(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = stablehlo.concatenate %x, %x, dim = 0 : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}
"""
    module = dynamic_module(text, [("n",)], [("n",)])
    executable = Iree().load_dynamic(Iree().compile_dynamic(module, CPU), module, CPU, {})
    with pytest.raises(EngineError, match=r"gives out0 as \[6\] .* says \[3\]"):
        executable.at({"n": 3})([Iree().from_tensor(torch.zeros(3), CPU)])


def test_an_operation_without_such_code_is_named() -> None:
    text = """
func.func public @main(%x: tensor<?x8xf32>) -> tensor<?x5xcomplex<f32>> {
  %0 = stablehlo.fft %x, type = RFFT, length = [8] : (tensor<?x8xf32>) -> tensor<?x5xcomplex<f32>>
  return %0 : tensor<?x5xcomplex<f32>>
}
"""
    with pytest.raises(EngineError, match=r"stablehlo\.fft"):
        Iree().compile_dynamic(dynamic_module(text, [("n", 8)], [("n", 5)]), CPU)
