"""Calls of the Fourier transforms. Up to 32 points they are products; more, on IREE, powers of two."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)
REAL = torch.randn(3, 8, 5, generator=_generator)
COMPLEX = torch.complex(REAL, torch.randn(3, 8, 5, generator=_generator))
LONG = torch.randn(2, 45, generator=_generator)
C128 = COMPLEX.to(torch.complex128)

SAMPLES = [
    Sample("aten._fft_c2c.default", (COMPLEX, [1], 0, True)),
    Sample("aten._fft_c2c.default", (COMPLEX, [0, 2], 1, True)),
    Sample("aten._fft_c2c.default", (COMPLEX, [1, 2], 2, False)),
    Sample("aten._fft_c2c.default", (C128, [0, 1, 2], 0, False)),
    Sample("aten._fft_r2c.default", (REAL, [1], 0, True)),
    Sample("aten._fft_r2c.default", (REAL, [2], 2, True)),
    Sample("aten._fft_r2c.default", (REAL, [0, 2, 1], 1, True)),
    Sample("aten._fft_r2c.default", (REAL, [0, 1], 0, False)),
    Sample("aten._fft_r2c.default", (REAL.to(torch.float64), [1], 0, True)),
    Sample("aten._fft_c2r.default", (COMPLEX, [2], 0, 8)),
    Sample("aten._fft_c2r.default", (COMPLEX, [1], 0, 14)),
    Sample("aten._fft_c2r.default", (COMPLEX, [2], 2, 9)),
    Sample("aten._fft_c2r.default", (COMPLEX, [0, 1], 1, 15)),
    Sample("aten.fft_irfft2.default", (COMPLEX, None, [1, 2], "ortho")),
    # IREE crashes on this pad of a complex tensor.
    Sample(
        "aten.fft_ifftn.default", (torch.complex(REAL, REAL).reshape(-1)[:105].reshape(5, 3, 7), [10], [2])
    ),
    Sample("aten.fft_rfft.default", (REAL, 16, 1)),
    Sample("aten._fft_c2r.default", (C128, [1], 0, 14)),
    Sample("aten._fft_r2c.default", (LONG, [1], 0, True)),
    Sample("aten._fft_c2c.default", (torch.complex(LONG, LONG.flip(1)), [1], 1, False)),
    Sample("aten._fft_c2r.default", (torch.complex(LONG, LONG.flip(1)), [1], 0, 88)),
]
