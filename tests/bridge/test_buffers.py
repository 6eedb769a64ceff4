"""`compiled.buffers`: of the caller's own library, in every dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bridge
from bridge.lowered import Lowered

DTYPES = (
    "float32 bfloat16 float16 float8_e4m3fn float8_e5m2 complex64 complex32 int8 uint16 uint64 bool".split()
)
X = torch.tensor([0.0, 1.0, 1.0])


class Keep(torch.nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(3).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.copy_(x)
        return x + 1


def keeper(dtype: str) -> Lowered:
    return bridge.lower(Keep(getattr(torch, dtype)), (X,))


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("engine", ["aten", "xla", "iree"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_torch_caller_gets_torch_tensors(dtype: str, engine: str) -> None:
    compiled = keeper(dtype).compile(engine)
    assert isinstance(compiled.buffers["kept"], torch.Tensor), "torch is there"
    compiled(X)
    kept = compiled.buffers["kept"]
    assert kept.dtype is getattr(torch, dtype)
    assert kept.to(torch.complex64).real.tolist() == X.tolist()
    kept.zero_()
    assert compiled.buffers["kept"].to(torch.complex64).real.tolist() == X.tolist(), "a copy"


@pytest.mark.parametrize("engine", ["aten", "xla"])
def test_a_numpy_caller_gets_arrays(engine: str) -> None:
    compiled = keeper("bfloat16").compile(engine)
    compiled(X.numpy())
    kept = compiled.buffers["kept"]
    assert isinstance(kept, np.ndarray)
    assert kept.dtype.name == "bfloat16"
    compiled(X)
    assert isinstance(compiled.buffers["kept"], torch.Tensor)


def test_a_program_as_read_does_the_same() -> None:
    from bridge.compilation import interpreted

    callee = interpreted(keeper("bfloat16"))
    assert isinstance(callee.buffers["kept"], torch.Tensor)
    callee(X.numpy())
    assert isinstance(callee.buffers["kept"], np.ndarray)
