"""A form computes what the canonical module does, with fewer transpositions, and less in each call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bridge
from lowering.host.weights import materialise
from lowering.ir.module import Module
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import Form, form_for
from lowering.stablehlo.passes.form import form
from lowering.targets import get_engine
from lowering.targets.target import Target

CHANNELS_LAST = Form(channels_last=True)
XLA = form_for("xla", "cpu", cores=2, has_avx512=True, has_bfloat16=True)
ONE_CORE = form_for("xla", "cpu", cores=1, has_avx512=True, has_bfloat16=True)


class Vision(nn.Module):
    """Convolutions of each kind with what comes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, (3, 5), padding=(2, 2), dilation=(2, 1), groups=8)
        self.grouped = nn.Conv2d(8, 16, 3, groups=4, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)
        self.point = nn.Conv2d(8, 4, 1, stride=2)
        for tensor in (self.norm.running_mean, self.norm.running_var):
            assert tensor is not None
            tensor.add_(torch.rand(8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.norm(self.stem(x)).relu()
        y = y + self.depthwise(y) * torch.sigmoid(y.mean((2, 3), keepdim=True))
        wide = torch.cat([y, nn.functional.max_pool2d(y, 3, 1, 1)], 1)
        y = nn.functional.pad(self.up(self.grouped(y)), (1, 0, 0, 1), value=2.0)
        y = nn.functional.avg_pool2d(y, 2)
        return wide, self.point(y), y.mean((2, 3)), y.amax(1), torch.softmax(y, 1), y.permute(0, 2, 3, 1)


class Sound(nn.Module):
    """One and three dimensions, a bias before the norm, channels first all through."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(6)
        self.three = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.norm(self.one(x))
        return y, self.three(y.reshape(1, 1, 3, 4, 8)).clamp(-1, 1).sum(2)


class Products(nn.Module):
    """Layers on one row and on many; weights that are transposed, cut and cast by the program."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 48, dtype=dtype)
        self.table = nn.Parameter(torch.randn(16, 16).to(dtype))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v = self.inner(x).chunk(3, -1)
        scaled = (self.table.float() * 2).to(x.dtype)
        return torch.relu(q) + k * v, x[:1] @ scaled.T, x @ (scaled + self.table)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "vision": (Vision, lambda: torch.randn(2, 3, 16, 16)),
    "sound": (Sound, lambda: torch.randn(2, 4, 8)),
    "products": (lambda: Products(torch.float32), lambda: torch.randn(5, 16)),
    "one row": (lambda: Products(torch.float32), lambda: torch.randn(1, 16)),
    "halves": (lambda: Products(torch.bfloat16), lambda: torch.randn(5, 16).bfloat16()),
    "one row of halves": (lambda: Products(torch.bfloat16), lambda: torch.randn(1, 16).bfloat16()),
}


def _lowered(name: str) -> tuple[Module, dict[str, np.ndarray], torch.Tensor]:
    build, example = CASES[name]
    torch.manual_seed(0)
    module, x = build().eval(), example()
    lowered = bridge.lower(module, (x,))
    found = lowered.module(0)
    weights = materialise(lowered.weights, [p.weight for p in found.inputs if p.weight is not None])
    return found, weights, x


def _run(module: Module, weights: dict[str, np.ndarray], inputs: Sequence[torch.Tensor]) -> list[Any]:
    engine, target = get_engine("xla"), Target()
    run = engine.load(engine.compile(module, target), module, target, weights)
    return [engine.to_torch(h).clone() for h in run([engine.from_tensor(x, target) for x in inputs])]


def _operations(module: Module) -> Counter[str]:
    return Counter(re.findall(r"stablehlo\.(\w+)", text_of(module.code)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wanted", [CHANNELS_LAST, XLA, ONE_CORE], ids=["channels last", "xla", "one core"])
def test_a_form_computes_the_same(name: str, wanted: Form) -> None:
    module, weights, x = _lowered(name)
    formed = form(module, wanted)
    assert [(p.name, p.dtype, p.sizes) for p in formed.outputs] == [
        (p.name, p.dtype, p.sizes) for p in module.outputs
    ]
    for got, want in zip(_run(formed, weights, [x]), _run(module, weights, [x]), strict=True):
        torch.testing.assert_close(got, want)


def test_a_region_has_one_transposition_in_and_one_for_each_way_out() -> None:
    module, _, _ = _lowered("vision")
    kernels = sum(port.weight is not None and len(port.sizes) == 4 for port in module.inputs)
    done = _operations(form(module, Form(channels_last=True, load_time=True)))
    # In: x. Out: `wide`, the pointwise convolution, the softmax; `permute` undoes its own.
    assert kernels == 5
    assert done["transpose"] == 4


def test_kernels_of_one_tap_are_products_and_depthwise_ones_sums() -> None:
    module, _, _ = _lowered("vision")
    assert _operations(module)["convolution"] == 5
    assert _operations(form(module, CHANNELS_LAST))["convolution"] == 4
    assert _operations(form(module, ONE_CORE))["convolution"] == 3


@pytest.mark.parametrize(
    ("groups", "sizes", "barriers"),
    [(8, (2, 8, 16, 16), 1), (8, (1, 8, 16, 16), 0), (8, (2, 8, 16, 14), 0), (1, (2, 8, 16, 16), 0)],
    ids=["depthwise", "one image", "rows of 14", "dense"],
)
def test_a_product_stays_apart_from_a_depthwise_convolution(
    groups: int, sizes: tuple[int, ...], barriers: int
) -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(8, 8, 3, padding=1, groups=groups), nn.Hardswish(), nn.Conv2d(8, 4, 1)
    model, x = nn.Sequential(*layers).eval(), torch.randn(sizes)
    lowered = bridge.lower(model, (x,))
    formed = form(lowered.module(0), form_for("iree", "cpu", cores=2, has_avx512=True, has_bfloat16=True))
    assert _operations(formed)["optimization_barrier"] == barriers
    torch.testing.assert_close(lowered.compile("iree")(x), model(x))


def test_what_rests_on_weights_is_done_at_load() -> None:
    module, _, _ = _lowered("vision")
    formed = form(module, XLA)
    assert formed.load is not None
    assert all(port.weight is not None for port in (*formed.load.inputs, *formed.inputs[1:]))
    # The square root and the division are those of the batch norm.
    assert _operations(module)["sqrt"] == 1
    assert not _operations(formed)["sqrt"]
    assert _operations(formed.load)["sqrt"] == 1


def test_a_module_without_weights_has_nothing_to_do_at_load() -> None:
    lowered = bridge.lower(nn.GELU(), (torch.randn(3, 4),))
    assert form(lowered.module(0), ONE_CORE).load is None


def test_a_reshaped_weight_is_not_kept_twice() -> None:
    module, _, _ = _lowered("products")
    formed = form(module, Form(load_time=True))
    assert formed.load is not None
    kept = {port.weight for port in formed.inputs}
    assert "inner.weight" in kept
    assert "inner.weight" not in {port.weight for port in formed.load.inputs}


def test_a_weight_that_many_steps_read_is_laid_out_once() -> None:
    lowered = bridge.lower(nn.LSTM(3, 5).eval(), (torch.randn(4, 1, 3),))
    formed = form(lowered.module(0), XLA)
    assert formed.load is not None
    assert [port.sizes for port in formed.load.outputs].count((5, 20)) == 1


@pytest.mark.parametrize(("name", "sizes"), [("products", (16, 48)), ("halves", (48, 16))])
def test_weights_of_products_are_in_out_but_for_halves(name: str, sizes: tuple[int, int]) -> None:
    formed = form(_lowered(name)[0], XLA)
    assert sizes in {port.sizes for port in formed.inputs}


class Angles(nn.Module):
    """Of float32, of halves, which are computed in it, and inside a branch."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        turned = torch.cond(x[0] > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))
        return x.sin(), x.cos(), x.tan(), turned, x.bfloat16().sin()


def test_angles_are_as_exact_as_in_eager() -> None:
    """From 1e-10 to 1e8 either way: IREE's own sine of 1e-6 is off by a tenth, of 1e6 by 3e-2."""
    generator = torch.Generator().manual_seed(0)
    angles = 10 ** (torch.rand(4000, generator=generator) * 18 - 10)
    angles = torch.cat([angles, -angles, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])])
    lowered = bridge.lower(Angles(), (angles,))
    wanted = Angles()(angles.double())
    for found, want in zip(lowered.compile("iree")(angles)[:4], wanted, strict=False):
        torch.testing.assert_close(found.double(), want, rtol=3e-7, atol=0, equal_nan=True)
    counts = _operations(
        form(lowered.module(0), form_for("iree", "cpu", cores=1, has_avx512=True, has_bfloat16=True))
    )
    assert not counts["sine"] + counts["cosine"] + counts["tan"]


class Corners(nn.Module):
    """Functions of two numbers, in each direction, of float32 and float64."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.pow(x, y), torch.atan2(x, y), torch.pow(x.double(), y.double())


def test_powers_and_angles_of_two_are_those_of_eager() -> None:
    """IREE's own power of a negative number is NaN, its atan2 of zeros too."""
    inf, nan = torch.inf, torch.nan
    values = torch.tensor(
        [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, inf, -inf, nan]
    )
    x, y = values.repeat_interleave(len(values)), values.repeat(len(values))
    found, wanted = bridge.lower(Corners(), (x, y)).compile("iree")(x, y), Corners()(x, y)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True)
        there = ~want.isnan()
        assert torch.equal(torch.signbit(got[there]), torch.signbit(want[there]))


def test_powers_keep_their_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(4000, generator=generator) * 50, torch.rand(4000, generator=generator) * 16 - 8
    found = bridge.lower(Corners(), (x, y)).compile("iree")(x, y)[0]
    torch.testing.assert_close(found.double(), torch.pow(x.double(), y.double()), rtol=3e-7, atol=0)


def test_other_devices_get_the_canonical_module() -> None:
    assert form_for("xla", "cuda", cores=8, has_avx512=False, has_bfloat16=False) == Form()
