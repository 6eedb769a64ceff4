"""Samples of `lowering/stablehlo/ops/creation.py`. Of `empty` only the type is compared."""

from __future__ import annotations

from typing import Any

import torch

from tests.ops.data import BF16, BOOL, C64, F16, F32, F64, I32, I64, U8, bools, complexes, floats, integers
from tests.ops.driver import Sample

DTYPES = (F32, BF16, F16, F64, I64, I32, U8, BOOL, C64)


def sample(target: str, *args: Any, **kwargs: Any) -> Sample:
    return Sample(f"aten.{target}", args, kwargs)


FILLED = [
    *(sample(f"{name}.default", [3, 4]) for name in ("zeros", "ones")),
    *(sample(f"{name}.default", shape, dtype=d) for name in ("zeros", "ones") for d in DTYPES
      for shape in ([2], [])),
    *(sample(f"{name}.default", floats(3), [2, 0]) for name in ("new_zeros", "new_ones", "new_empty")),
    *(sample(f"{name}.default", floats(3), [2, 3], dtype=I32) for name in ("new_zeros", "new_ones")),
    *(sample(f"{name}.default", floats(3, 2)) for name in ("zeros_like", "ones_like")),
    *(sample(f"{name}.default", bools(3), dtype=d) for name in ("zeros_like", "ones_like") for d in DTYPES),
    sample("empty.memory_format", [0, 3]),
    sample("empty_like.default", floats(0, 2)),
    sample("empty_permuted.default", [0, 2], [1, 0]),
    sample("empty_strided.default", [0, 2], [2, 1]),
    sample("new_empty_strided.default", floats(2), [0, 2], [2, 1]),
    *(sample("full.default", [2, 3], value) for value in (1.5, 7, True, 2j, float("-inf"), 2**40)),
    *(sample("full.default", [2], 1, dtype=d) for d in DTYPES),
    sample("full.default", [2], -1.7, dtype=I64),
    sample("full_like.default", floats(2, 3), 0.1),
    sample("full_like.default", integers(3), 7.9),
    sample("full_like.default", floats(3, dtype=BF16), 0.1, dtype=F64),
    sample("new_full.default", floats(3), [2, 2], 3),
    sample("zero.default", floats(3)),
    Sample("aten.zero_.default", (floats(3),), functional=True),
    sample("fill.Scalar", floats(3), 2),
    sample("fill.Scalar", integers(3), 2.7),
    sample("fill.Tensor", floats(3), torch.tensor(2)),
    sample("fill.Tensor", integers(3, dtype=I32), torch.tensor(2.9)),
    Sample("aten.fill_.Scalar", (floats(3), 0.5), functional=True),
    *(sample("scalar_tensor.default", value) for value in (2.5, 3, True)),
    sample("scalar_tensor.default", 0.1, dtype=F16),
    sample("_shape_as_tensor.default", floats(2, 0, 5)),
]  # fmt: skip

RANGES = [
    *(sample("arange.default", end) for end in (7.5, 6, 0, 0.0)),
    *(sample("arange.default", 5, dtype=d) for d in (F32, BF16, F16, F64, I64, I32, U8)),
    sample("arange.default", 2.5, dtype=I64),
    sample("arange.start", 2, 9),
    sample("arange.start", -1.5, 4.0),
    sample("arange.start", 2**40, 2**40 + 5),
    sample("arange.start", 2**24, 2**24 + 5, dtype=F32),
    *(
        sample("arange.start_step", *ends)
        for ends in (
            (0, 10, 3),
            (10, -5, -4),
            (0.1, 2.0, 0.3),
            (5, 1, -0.5),
        )
    ),
    *(sample("arange.start_step", 0, 1, 0.1, dtype=d) for d in (F32, F16, BF16, F64)),
    sample("arange.start_step", 1, 9, 2.0, dtype=I64),
    *(sample("range.step", 0, 5, step) for step in (1, 2)),
    sample("range.step", 0.0, 1.0, 0.25),
    sample("range.default", 1, 4),
    *(
        sample("linspace.default", *ends, steps)
        for ends in ((0, 1), (-3.0, 11.0), (5.0, -2.5))
        for steps in (7, 10, 1, 0, 2)
    ),
    *(sample("linspace.default", -3, 11, 9, dtype=d) for d in (F64, BF16, F16, I64, I32)),
    sample("linspace.Tensor_Tensor", torch.tensor(0.5), torch.tensor(3.0), 5),
    sample("linspace.Tensor_Scalar", torch.tensor(0.5), 2, 5),
    sample("linspace.Scalar_Tensor", 1, torch.tensor(4), 5),
    *(sample("logspace.default", *ends, 7, base) for ends in ((0, 3), (-2.0, 2.0)) for base in (10.0, 2.0)),
    sample("logspace.default", 0, 2, 5, dtype=F64),
    sample("logspace.default", 0.0, 3.0, 1),
    sample("logspace.Tensor_Tensor", torch.tensor(0.5), torch.tensor(3.0), 5),
    sample("logspace.Tensor_Scalar", torch.tensor(0.5), 2, 5),
    sample("logspace.Scalar_Tensor", 1, torch.tensor(4), 5),
    *(sample("linspace.default", 1 + 2j, -3.5j, steps, dtype=C64) for steps in (7, 1, 0)),
    sample("linspace.Tensor_Scalar", torch.tensor(1.5), -3.5j, 8, dtype=torch.complex128),
    sample("logspace.default", 1 + 2j, -3.5j, 7, dtype=C64),
    sample("logspace.default", 0, 3, 5, -2.0, dtype=C64),
]

TRIANGLES = [
    *(sample("eye.default", 3, **kwargs) for kwargs in ({}, {"dtype": I64}, {"dtype": BOOL}, {"dtype": C64})),
    *(sample("eye.m", *shape) for shape in ((2, 5), (5, 2), (0, 3))),
    *(
        sample(f"{name}.default", value, diagonal)
        for name in ("tril", "triu")
        for value, diagonal in (
            (floats(3, 4, 5), 0),
            (floats(5, 3), 1),
            (floats(3, 5), -2),
            (integers(4, 4), 0),
            (bools(4, 4), 1),
            (floats(4, 4, dtype=BF16), -1),
            (complexes(3, 3), 0),
            (torch.full((3, 3), float("nan")), 1),
            (floats(3, 3), 2**40),
            (floats(3, 3), -(2**40)),
            (floats(0, 3), 0),
        )
    ),
    *(
        sample(f"{name}.default", *call, **kwargs)
        for name in ("tril_indices", "triu_indices")
        for call in ((3, 4), (5, 2, 1), (3, 3, -1), (0, 3), (2, 3, -5), (2, 3, 5))
        for kwargs in ({}, {"dtype": I32})
    ),
    *(sample("one_hot.default", integers(*shape, low=0, high=4), 6) for shape in ((3,), (2, 3), (), (0,))),
]

WINDOWS = [
    *(
        sample(f"{name}_window.default", count, **kwargs)
        for name in ("hann", "hamming", "blackman", "bartlett", "kaiser")
        for count, kwargs in ((16, {}), (1, {}), (0, {}), (9, {"dtype": F64}), (400, {}))
    ),
    *(
        sample(f"{name}_window.periodic", count, False)
        for name in ("hann", "hamming", "blackman", "bartlett", "kaiser")
        for count in (16, 7, 2)
    ),
    sample("hamming_window.periodic_alpha", 8, True, 0.6),
    sample("hamming_window.periodic_alpha_beta", 8, False, 0.6, 0.3),
    sample("kaiser_window.beta", 8, True, 5.0),
]

SAMPLES: list[Sample] = [*FILLED, *RANGES, *TRIANGLES, *WINDOWS]
