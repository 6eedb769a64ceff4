"""Scalars beside float16 and bfloat16 are rounded to the tensor's type where eager does so, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

import bridge

THIRD = 1 / 3
Call = Callable[[torch.Tensor], torch.Tensor]

# The scalar is rounded first, or a step is.
NARROWED: dict[str, Call] = {
    "add": lambda x: x + THIRD,
    "add what only float32 holds": lambda x: x + 70_000.0,
    "sub": lambda x: x - THIRD,
    "rsub": lambda x: THIRD - x,
    "add 0-d": lambda x: x + torch.tensor(THIRD),
    "sub from 0-d": lambda x: torch.tensor(THIRD) - x,
    "pow": lambda x: x.abs().pow(THIRD),
    "pow of a scalar": lambda x: torch.pow(THIRD, x),
    "cube": lambda x: x.pow(3),
    "inverse square": lambda x: x.pow(-2),
    "root": lambda x: x.abs().pow(0.5),
    "xlogy": lambda x: torch.xlogy(x, THIRD),
    "xlogy of a scalar": lambda x: torch.xlogy(THIRD, x.abs()),
    "xlog1py": lambda x: torch.special.xlog1py(x, THIRD),
    "hardshrink": lambda x: F.hardshrink(x, THIRD),
    "logit": lambda x: torch.logit(x.abs(), THIRD),
    "linspace": lambda x: torch.linspace(0.1, 3.3, 50, dtype=x.dtype),
    "entr": torch.special.entr,
    "ndtr": torch.special.ndtr,
}
# The scalar is float32's, and so is a tensor that is written into another.
WIDE: dict[str, Call] = {
    "add_": lambda x: x.clone().add_(x.float() * THIRD),
    "sub_ alpha": lambda x: x.clone().sub_(x.float() * THIRD, alpha=2),
    "copysign_": lambda x: x.clone().copysign_(x.float() * THIRD),
    "mul": lambda x: x * THIRD,
    "mul 0-d": lambda x: x * torch.tensor(THIRD),
    "div": lambda x: x / THIRD,
    "rdiv": lambda x: THIRD / x,
    "leaky_relu": lambda x: F.leaky_relu(x, THIRD),
    "lerp": lambda x: torch.lerp(x, x.flip(0), THIRD),
    "addcmul": lambda x: torch.addcmul(x, x.flip(0), x, value=THIRD),
}
CALLS = {**NARROWED, **WIDE}
# Whose roundings are others where eager has no vector code.
VECTORISED = {"cube", "lerp"} if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else set()


class Calls(torch.nn.Module):
    """Each call of the table, and exact products with `alpha`, whose rounding would be the processor's."""

    def forward(self, x: torch.Tensor, powers: torch.Tensor) -> list[torch.Tensor]:
        scaled = [torch.add(x, powers, alpha=THIRD), torch.sub(x, powers, alpha=THIRD)]
        return [*(call(x) for call in CALLS.values()), *scaled]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_scalars_are_rounded_as_eager_does(engine: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(448, generator=generator), torch.tensor([torch.inf, -torch.inf] * 32)]).to(
        dtype
    )
    powers = 2.0 ** torch.randint(-4, 5, (512,), generator=generator).to(dtype)
    lowered = bridge.lower(Calls(), (x, powers))
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile(engine)
    assert not compiled.report.fallbacks
    names = [*CALLS, "add alpha", "sub alpha"]
    wrong = {
        name
        for name, got, want in zip(names, compiled(x, powers), Calls()(x, powers), strict=True)
        if not _same_bits(got, want)
    }
    assert not wrong - VECTORISED


def _same_bits(got: torch.Tensor, want: torch.Tensor) -> bool:
    """Whether all bits are equal, but for those of a NaN."""
    found, bits, nan = got.view(torch.int16), want.view(torch.int16), want.isnan()
    return torch.equal(found[~nan], bits[~nan]) and torch.equal(got.isnan(), nan)
