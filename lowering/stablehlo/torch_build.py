"""Assumptions of the installed torch's kernels on data that was prepared for them."""

from __future__ import annotations

from functools import cache

from lowering.stablehlo.errors import Unsupported


@cache
def int4_rows_at_a_time() -> tuple[int, bool]:
    """The number of four-bit rows that torch's CPU kernel packs as one, and whether its two halves share
    bytes. It differs by the vectors that torch uses on this processor."""
    try:
        import torch
    except ImportError:
        raise Unsupported("torch, whose kernels say how weights are packed, is not installed") from None
    capability = torch.backends.cpu.get_cpu_capability()
    return _PACKED.get(capability, (32, False))


# By what `get_cpu_capability` says; other processors take neighbouring rows.
_PACKED = {"AVX512": (64, True), "AVX2": (32, True)}
