"""Scans along an axis: cumsum, cumprod, cummax, logcumsumexp."""
