"""Views of prims have eager's offsets, though the exporter notes them only the first time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import bridge
from lowering.ir.types import TensorType


def _strided(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.prims.as_strided.default(x, [2, 3], [1, 2], 1)


def _first_two(x: torch.Tensor) -> torch.Tensor:
    return x.as_strided((2,), (1,))


# By view: what makes it, and where in the memory of its source it begins.
VIEWS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "as_strided": (_strided, 1),
    "row": (lambda x: _strided(x)[1], 2),
    "strided again": (lambda x: _first_two(_strided(x)), 1),
    "at an offset of its own": (lambda x: _strided(x).as_strided((2,), (1,), 4), 4),
    "transposed": (lambda x: torch.ops.prims.transpose.default(x[3:].view(3, 3), [1, 0]), 3),
    "of the view": (lambda x: torch.ops.prims.view_of.default(x[5:])[2:], 7),
    "squeezed": (lambda x: torch.ops.prims.squeeze.default(x[4:].view(1, 8), [0]), 4),
    "written": (lambda x: _strided(x).add_(1), 1),
}


class Writes(torch.nn.Module):
    """Writes where a view begins, by a second view that only knows the memory under the first."""

    def __init__(self, view: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.view = view

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _first_two(self.view(x)).add_(5)
        return x


@pytest.mark.parametrize("name", VIEWS)
def test_offsets_are_eager_s_whenever_it_is_exported(name: str) -> None:
    view, offset = VIEWS[name]
    x = torch.arange(12.0)
    assert view(x.clone()).storage_offset() == offset
    for _ in range(2):
        lowered = bridge.lower(Writes(view), (x.clone(),))
        types = lowered.program.graph.values
        strided = [node for node in lowered.program.graph.nodes if node.target == "aten.as_strided.default"]
        source = strided[-1].args[0].value
        type_ = types[source.name]  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(type_, TensorType)
        assert type_.offset == offset
        assert torch.equal(lowered.compile("aten")(x.clone()), Writes(view)(x.clone()))
