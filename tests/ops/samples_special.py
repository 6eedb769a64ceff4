"""Samples of `lowering/stablehlo/ops/special.py`."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, F32, F64, INF, NAN, floats, integers
from tests.ops.driver import Sample


def sample(target: str, *args: Any) -> Sample:
    return Sample(f"aten.{target}", args)


# Function -> the interval that is sampled.
OF_ONE = {
    "i0": (-9, 9),
    "special_i0": (-9, 9),
    "special_i0e": (-20, 20),
    "special_i1": (-9, 9),
    "special_i1e": (-20, 20),
    "special_log_ndtr": (-9, 9),
    "special_modified_bessel_i0": (-9, 9),
    "special_modified_bessel_i1": (-9, 9),
    "special_ndtri": (0, 1),
    "special_ndtr": (-6, 6),
    "special_entr": (-1, 3),
    "special_spherical_bessel_j0": (-9, 9),
}

ONE = torch.tensor([[0.5], [1.0], [3.5], [8.0]])

SAMPLES: list[Sample] = [
    *(
        sample(f"{name}.default", floats(9, 5, low=low, high=high, dtype=dtype))
        for name, (low, high) in OF_ONE.items()
        for dtype in (F32, F64)
    ),
    *(
        sample(f"{name}.default", floats(9, low=0.1, dtype=BF16))
        for name in ("i0", "special_i0e", "special_entr")
    ),
    sample("special_entr.default", torch.tensor([0.0, -1.0, NAN, INF, 1.0])),
    sample("special_spherical_bessel_j0.default", torch.tensor([0.0, INF, -INF, 0.499, 1e-6, 100.0])),
    sample("special_i0e.default", integers(5)),
    *(
        sample(f"{name}.default", a, b)
        for name in ("igamma", "igammac", "special_gammainc", "special_gammaincc")
        for a, b in ((ONE, floats(6, low=0.1, high=9)), (ONE.to(F64), floats(6, low=0.1, high=9, dtype=F64)))
    ),
    *(
        sample(f"{name}.default", n, floats(7, low=0.5, high=9, dtype=dtype))
        for name in ("polygamma", "special_polygamma")
        for n in (1, 0, 2, 3)
        for dtype in (F32, F64)
    ),
    *(
        sample(
            "polygamma.default", n, torch.tensor([-8.4784, -0.5, -2.25, 0, -0.0, INF, -INF, NAN]).to(dtype)
        )
        for n in (0, 1, 2, 5)
        for dtype in (F32, F64)
    ),
    *(
        sample(f"{name}.default", floats(7, low=2, high=9), p)
        for name in ("mvlgamma", "special_multigammaln")
        for p in (1, 3)
    ),
    sample("special_zeta.default", 1 + ONE, floats(6, low=0.5, high=9)),
    sample(
        "special_zeta.default",
        torch.tensor([0.0, 0.5, 1.0, 2.0, -1.0, 3.0]),
        torch.tensor([[0.0], [1.0], [-2.0]]),
    ),
    *(
        sample("special_zeta.default", torch.tensor([2.0, 3.0, 4.0, 2.5, 30.0]).to(dtype), q)
        for dtype in (F32, F64)
        for q in (torch.tensor([[-100.5], [-0.25], [-7.0], [-2.75], [-1e4 - 0.5]]).to(dtype),)
    ),
    sample("special_zeta.other_scalar", 1 + ONE, 2.0),
    sample("special_zeta.self_scalar", 3.0, floats(6, low=0.5, high=9)),
]
