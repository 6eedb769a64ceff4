"""Every sample of an operator exports from its source as the same call, spelled or by `torch.ops`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import bridge
from bridge.errors import BridgeError
from tests.lowering.python.reexport import canonical, exported_again
from tests.ops.driver import Sample, operator
from tests.ops.test_ops import SAMPLES

BY_TARGET: dict[str, list[Sample]] = {}
for _sample in SAMPLES:
    BY_TARGET.setdefault(_sample.target, []).append(_sample)


class Calls(torch.nn.Module):
    """Calls an operator on a sample's arguments, its tensors being the inputs."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample

    def forward(self, *tensors: torch.Tensor) -> Any:
        remaining = iter(tensors)

        def filled(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return next(remaining)
            return type(value)(map(filled, value)) if isinstance(value, list | tuple) else value

        args = [filled(value) for value in self.sample.args]
        kwargs = {name: filled(value) for name, value in self.sample.kwargs.items()}
        return operator(self.sample.target)(*args, **kwargs)


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value.clone()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)


@pytest.mark.conformance
@pytest.mark.parametrize("target", BY_TARGET)
def test_each_sample_is_the_same_call(target: str) -> None:
    checked = 0
    for sample in BY_TARGET[target]:
        inputs = tuple(tensors_of([*sample.args, *sample.kwargs.values()]))
        try:
            program = bridge.extract(Calls(sample), inputs)
        except BridgeError:
            continue  # torch exports no such call
        source = program.to_python("Model")
        assert canonical(exported_again(program, source, "Model")) == canonical(program), source
        checked += 1
    if not checked:
        pytest.skip(f"torch exports no call of {target}")
