"""Indices: checked where they may be out of bounds, not where they cannot be."""

from __future__ import annotations

import pytest
import torch

import bridge

ENGINES = ["xla", "iree"]


class Lookup(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 3)
        self.register_buffer("cache", torch.zeros(4, 3))

    def forward(self, ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids)
        self.cache.index_copy_(0, at, rows)
        return self.cache * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_out_of_bounds_is_an_error_that_names_its_node_and_changes_nothing(engine: str) -> None:
    good, at = torch.tensor([1, 4]), torch.tensor([0, 3])
    compiled = bridge.lower(Lookup(), (good, at)).compile(engine)
    compiled(good, at)
    before = compiled.buffers["cache"]
    for ids, places, node, size in (
        (torch.tensor([1, 5]), at, "aten.embedding.default", 5),
        (torch.tensor([-1, 0]), at, "aten.embedding.default", 5),
        (good, torch.tensor([4, 0]), "aten.index_copy_.default", 4),
        (good, torch.tensor([0, 1 << 40]), "aten.index_copy_.default", 4),
    ):
        with pytest.raises(
            IndexError, match=f"{node} .*test_bounds.py.*out of bounds for an axis of size {size}"
        ):
            compiled(ids, places)
        assert (compiled.buffers["cache"] == before).all()


INDEXED = {
    "index": lambda x, i: x[i],
    "negative": lambda x, i: x[:, i - 3],
    "two": lambda x, i: x[i, i],
    "gather": lambda x, i: x.gather(0, i[None, :]),
    "index_select": lambda x, i: x.index_select(1, i),
    "take": lambda x, i: x.take(i * 4),
    "scatter": lambda x, i: x.scatter(0, i[None, :], 1.0),
    "index_add": lambda x, i: x.index_add(1, i, x[:, :2]),
    "index_put": lambda x, i: x.index_put((i,), x[:2]),
    "index_fill": lambda x, i: x.index_fill(0, i, 2.0),
}


class Call(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.call = INDEXED[name]

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return self.call(x, i)


@pytest.mark.parametrize("name", INDEXED)
def test_every_kind_of_index(name: str) -> None:
    x, good = torch.arange(9.0).reshape(3, 3), torch.tensor([0, 2])
    module = Call(name)
    compiled = bridge.lower(module, (x, good)).compile("xla")
    torch.testing.assert_close(compiled(x, good), module(x, good))
    for bad in (torch.tensor([0, 7]), torch.tensor([-9, 1])):
        with pytest.raises((IndexError, RuntimeError)):
            module(x, bad)
        with pytest.raises(IndexError, match="out of bounds"):
            compiled(x, bad)


class Positions(torch.nn.Module):
    """Indices that follow from the sizes, as in masks and position embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[0])
        return x[places.flip(0)] + self.table(places[:, None].expand(-1, 1).reshape(-1) + 2)


def test_what_is_in_bounds_by_its_making_is_not_checked() -> None:
    x = torch.randn(4, 2)
    lowered = bridge.lower(Positions(), (x,))
    assert lowered.module(0).checks == ()
    assert "minimum" not in lowered.stablehlo(0)
    torch.testing.assert_close(lowered.compile("xla")(x), Positions.forward(lowered_module(lowered), x))


def lowered_module(lowered: bridge.Lowered) -> Positions:
    """The module with the weights of a lowered one."""
    from lowering.host.weights import torch_weights

    module = Positions()
    module.load_state_dict(torch_weights(lowered.weights, lowered.weights.views))
    return module
