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


def _spectrum(*shape: int, dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(5))


HANN = torch.hann_window(8)
SAMPLES += [
    Sample("aten.istft.default", (_spectrum(2, 5, 6), 8), {"window": HANN}),
    Sample("aten.istft.default", (_spectrum(5, 6), 8)),
    Sample("aten.istft.default", (_spectrum(5, 6), 8, 3, 6, HANN[1:7])),
    Sample("aten.istft.default", (_spectrum(5, 6), 9, 3), {"normalized": True}),
    Sample("aten.istft.default", (_spectrum(5, 6), 8, 2), {"center": False, "length": 13}),
    *(Sample("aten.istft.default", (_spectrum(5, 6), 8, 2, 8, HANN), {"length": n}) for n in (9, 14, 17)),
    Sample("aten.istft.default", (_spectrum(8, 6), 8), {"onesided": False}),
    Sample("aten.istft.default", (_spectrum(8, 6), 8), {"onesided": False, "return_complex": True}),
    Sample("aten.istft.default", (_spectrum(5, 6, dtype=torch.complex128), 8)),
    Sample("aten.istft.default", (_spectrum(5, 6), 8), {"window": HANN.double()}),
    Sample("aten.istft.default", (_spectrum(33, 6), 64), {"window": torch.hann_window(64)}),
]

SIGNAL = torch.randn(2, 50, generator=torch.Generator().manual_seed(6))
_CALLS = (
    ((SIGNAL, 8), {"window": HANN}),
    ((SIGNAL[0], 8, 3, 6, HANN[1:7]), {"normalized": True}),
    ((SIGNAL, 9, 4, 5), {"onesided": False}),
    ((SIGNAL, 16), {"window": torch.hann_window(16).double()}),
    ((SIGNAL.double(), 40, 10), {}),
    ((SIGNAL.to(torch.complex64), 8, 3), {"window": HANN}),
    ((SIGNAL, 8), {"window": torch.complex(HANN, HANN), "onesided": False}),
)
SAMPLES += [
    *(Sample("aten.stft.default", args, {**options, "return_complex": True}) for args, options in _CALLS),
    Sample("aten.stft.default", (SIGNAL, 8, 2), {"return_complex": False}),
    *(
        Sample("aten.stft.default", (SIGNAL, 9, 4, size), {"return_complex": True, "align_to_window": align})
        for size, align in ((4, True), (5, True), (5, False))
    ),
    *(Sample("aten.stft.center", args, {**options, "return_complex": True}) for args, options in _CALLS[:5]),
    *(
        Sample("aten.stft.center", (SIGNAL, 8), {"pad_mode": mode, "return_complex": True})
        for mode in ("constant", "replicate", "circular")
    ),
    Sample(
        "aten.stft.center",
        (SIGNAL, 9, 4, 4),
        {"center": False, "return_complex": False, "align_to_window": True},
    ),
]
