"""What depends on weights alone is made once: for all sizes, but not for other weights."""

from __future__ import annotations

import gc
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

import bridge
from lowering.targets.xla import hoisted


class Net(nn.Module):
    """A convolution and a norm, whose scale goes into the kernel."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        assert self.norm.running_var is not None
        self.norm.running_var.add_(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.convolution(x)).relu()


def test_sizes_share_what_is_made_and_other_weights_do_not() -> None:
    gc.collect()
    before = len(hoisted.all_made)
    x = torch.randn(2, 3, 8, 8)
    nets = [Net(seed).eval() for seed in (0, 1)]
    shapes = {"x": {0: Dim("batch", min=1, max=8)}}
    compiled = [bridge.lower(net, (x,), dynamic_shapes=shapes).compile("xla") for net in nets]
    made: list[int] = []
    run = compiled[0]
    for batch in (2, 5, 7):
        given = torch.randn(batch, 3, 8, 8)
        for net, run in zip(nets, compiled, strict=True):
            torch.testing.assert_close(run(given), net(given))
        made.append(len(hoisted.all_made) - before)
    assert made[0] > 0
    assert made == [made[0]] * 3
    del compiled, run
    gc.collect()
    assert len(hoisted.all_made) == before


class Placed(nn.Module):
    """A large weight, beside a table of places of which a call takes as many as it has rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 256)
        self.places = nn.Parameter(torch.randn(16, 256))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x + self.places[: x.shape[0]].exp())


def test_sizes_share_large_weights_where_small_ones_differ() -> None:
    gc.collect()
    others = set(hoisted.all_made.keys())
    net, x = Placed().eval(), torch.randn(3, 256)
    lowered = bridge.lower(net, (x,), dynamic_shapes={"x": {0: Dim("rows", min=2, max=16)}})
    compiled = lowered.compile("xla", on_new_size="wait")
    for rows in (3, 5, 7):
        given = torch.randn(rows, 256)
        torch.testing.assert_close(compiled(given), net(given))
    shapes = [made.array.shape for key, made in hoisted.all_made.items() if key not in others]
    assert shapes.count((256, 256)) == 1
    assert len(shapes) > 1, "the places are cut at load, for each number of rows"


def test_an_artifact_brings_its_load_time_part(tmp_path: Path) -> None:
    net, x = Net(0).eval(), torch.randn(2, 3, 8, 8)
    lowered = bridge.lower(net, (x,))
    lowered.compile("xla")
    lowered.save(tmp_path / "net.bridge")
    loaded = bridge.load(tmp_path / "net.bridge")
    (binary,) = loaded.binaries.values()
    torch.testing.assert_close(loaded.compile("xla")(x), net(x))
    assert list(loaded.binaries.values()) == [binary]
