"""Short-time Fourier transforms and their inverse: frames of a signal, `hop_length` apart, times a window."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.build.elementwise import promote
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.complexes import view_as_real
from lowering.stablehlo.ops.fft import normalise, transform
from lowering.stablehlo.ops.padding import pad_by_name
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


@lowers("aten.stft.default")
def stft(
    cx: Context, self: Value, n_fft: int, hop_length: int | None, win_length: int | None,
    window: Value | None, normalized: bool, onesided: bool | None, return_complex: bool | None,
    align_to_window: bool | None,
) -> Value:  # fmt: skip
    """self: [batch, samples] or [samples], to complex [..., frequencies, frames], or real [..., 2].

    `align_to_window` begins the first frame with the window, which may be shorter than its frame.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if align_to_window:
        left = (n_fft - length) // 2
        self = cx.pad(self, [0] * (self.rank - 1) + [left], [0] * (self.rank - 1) + [n_fft - length - left])
    frames = _frames(cx, self, n_fft, hop)
    if window is not None:
        dtype = promote(frames.dtype, window.dtype)
        frames = cx.convert(frames, dtype) * cx.convert(_window(cx, n_fft, length, window), dtype)
    elif length < n_fft:
        frames = frames * _window(cx, n_fft, length, cx.constant(1, frames.dtype, (length,)))
    last = frames.rank - 1
    if frames.dtype.is_complex:
        spectra = transform(cx, frames, "FFT", last, n_fft)
    elif onesided is None or onesided:
        spectra = transform(cx, frames, "RFFT", last, n_fft)
    else:
        double = frames.dtype is DType.FLOAT64
        frames = cx.convert(frames, DType.COMPLEX128 if double else DType.COMPLEX64)
        spectra = transform(cx, frames, "FFT", last, n_fft)
    spectra = cx.move_axis(normalise(cx, spectra, int(normalized), n_fft), -1, -2)
    return spectra if return_complex else view_as_real(cx, spectra)


@lowers("aten.stft.center")
def centred_stft(
    cx: Context, self: Value, n_fft: int, hop_length: int | None, win_length: int | None,
    window: Value | None, center: bool, pad_mode: str, normalized: bool, onesided: bool | None,
    return_complex: bool | None, align_to_window: bool | None,
) -> Value:  # fmt: skip
    """`center` pads the signal, so that each frame has the sample that it is counted by in its middle."""
    if center:
        self = pad_by_name(cx, self, (n_fft // 2, n_fft // 2), pad_mode, None)
    return stft(
        cx, self, n_fft, hop_length, win_length, window, normalized, onesided, return_complex, align_to_window
    )


def _frames(cx: Context, signal: Value, points: int, hop: int) -> Value:
    """[..., samples] -> [..., frames, points]."""
    count = (signal.shape[-1] - points) // hop + 1
    grid = (count, points)
    index = cx.iota(DType.INT64, grid, 0) * hop + cx.iota(DType.INT64, grid, 1)
    return cx.take(signal, index, -1)


@lowers("aten.istft.default")
def istft(
    cx: Context, self: Value, n_fft: int, hop_length: int | None, win_length: int | None,
    window: Value | None, center: bool, normalized: bool, onesided: bool | None, length: int | None,
    return_complex: bool,
) -> Value:  # fmt: skip
    """self: complex [..., frequencies, frames]. Each frame's signal times the window, frames `hop_length`
    apart added up and divided by the sum of the squared windows, which eager wants nowhere to be 0."""
    hop = n_fft // 4 if hop_length is None else hop_length
    window = _window(cx, n_fft, n_fft if win_length is None else win_length, window)
    spectra = cx.move_axis(self, -2, -1)
    last = spectra.rank - 1
    if return_complex:
        frames = transform(cx, spectra, "IFFT", last, n_fft)
    else:
        half = cx.slice_axis(spectra, last, 0, n_fft // 2 + 1)
        frames = transform(cx, half, "IRFFT", last, n_fft)
    frames = cx.convert(normalise(cx, frames, 1 if normalized else 2, n_fft), cx.out.dtype)
    signal = _overlapped(cx, frames * cx.convert(window, cx.out.dtype), hop)
    envelope = _overlapped(cx, cx.broadcast(window * window, frames.shape[-2:]), hop)
    # Without `center` a signal starts and ends with its frames.
    margin = n_fft // 2 if center else 0
    size = signal.shape[-1]
    end = size - margin if length is None else min(margin + length, size)
    signal, envelope = (cx.slice_axis(value, -1, margin, end) for value in (signal, envelope))
    cx.fail_if(cx.abs(envelope) < 1e-11, "window overlap add min: 1: the window leaves parts without a frame")
    signal = signal / cx.convert(envelope, cx.out.dtype)
    high = [0] * (signal.rank - 1) + [cx.out.shape[-1] - signal.shape[-1]]
    return cx.pad(signal, [0] * signal.rank, high)


def _window(cx: Context, n_fft: int, size: int, window: Value | None) -> Value:
    """The window, or ones, in the middle of `n_fft` points."""
    if window is None:
        window = cx.constant(1, cx.out.dtype, (size,))
    left = (n_fft - size) // 2
    return cx.pad(window, [left], [n_fft - size - left])


def _overlapped(cx: Context, frames: Value, hop: int) -> Value:
    """[..., frames, points] -> [..., (frames - 1) * hop + points], the sums of frames `hop` apart."""
    *batch, count, points = frames.shape
    pieces = -(-points // hop)
    zeros = [0] * len(batch)
    frames = cx.pad(frames, [*zeros, 0, 0], [*zeros, 0, pieces * hop - points])
    total: Value | None = None
    for at in range(pieces):
        piece = cx.slice_axis(frames, -1, at * hop, (at + 1) * hop)
        piece = cx.pad(piece, [*zeros, at, 0], [*zeros, pieces - 1 - at, 0])
        total = piece if total is None else total + piece
    assert total is not None
    return cx.slice_axis(cx.reshape(total, (*batch, -1)), -1, 0, (count - 1) * hop + points)
