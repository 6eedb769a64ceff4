"""Adapters in the weights themselves, and out of them again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bridge
from bridge.compiled.adapters import AdapterRefused
from lowering.ir.weights import AbsentWeights
from tests.bridge.adapters.layers import X, eager, network, pairs, state_dict

NAMES = ("down", "turned", "conv")


@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_merged_weights_give_what_the_adapter_gives(engine: str) -> None:
    lowered = bridge.lower(network(), (X,))
    compiled, given = lowered.compile(engine), pairs(0, 2, *NAMES)
    found = bridge.merged(lowered, state_dict(given), 0.5)
    assert found.keys() == {f"{name}.weight" for name in NAMES}
    compiled.set_weights(found)
    torch.testing.assert_close(compiled(X), eager(network(), given, 0.5), rtol=1e-4, atol=1e-4)
    compiled.set_weights(lowered.weights)
    torch.testing.assert_close(compiled(X), eager(network(), {}, 0.5))


def test_half_precision_is_rounded_once() -> None:
    lowered = bridge.lower(network(torch.bfloat16), (X.bfloat16(),))
    given = pairs(0, 2, "down", dtype=torch.bfloat16)
    (found,) = bridge.merged(lowered, state_dict(given), 0.3).values()
    first, second = given["down"]
    exact = network().down.weight.detach().bfloat16().float() + 0.3 * second.float() @ first.float()
    np.testing.assert_array_equal(found.astype(np.float32), exact.bfloat16().float().numpy())


def test_what_cannot_be_merged() -> None:
    lowered = bridge.lower(network(), (X,))
    with pytest.raises(AdapterRefused, match=r"up\.weight is again\.weight, too: an adapter of one of them"):
        bridge.merged(lowered, state_dict(pairs(0, 2, "up")), 1.0)
    with pytest.raises(AdapterRefused, match="of grouped, a convolution with groups, cannot be merged"):
        bridge.merged(lowered, state_dict(pairs(0, 2, "grouped")), 1.0)
    with torch.device("meta"):
        empty = bridge.lower(torch.export.export(torch.nn.Linear(8, 6), (torch.empty(3, 8),)))
    with pytest.raises(AbsentWeights):
        bridge.merged(empty, {}, 1.0)
