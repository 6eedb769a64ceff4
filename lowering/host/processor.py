"""The processor that code is compiled for: this machine's, or a lesser one that `BRIDGE_CPU` names.

    BRIDGE_CPU   `host` (default), or a level of the x86-64 ABI: `x86-64-v2` (SSE4.2), `x86-64-v3` (AVX2),
                 `x86-64-v4` (AVX-512 without bfloat16)

Pipelines, engines and placement decide by what it has. torch and oneDNN are held to less by variables of
their own, `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA`.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lowering.ir.errors import EngineError

HOST = "host"

# The extensions that each level adds, by the kernel's names: https://gitlab.com/x86-psABIs/x86-64-ABI, table
# 3.1.
_LEVELS: Mapping[str, frozenset[str]] = {
    "x86-64-v2": frozenset({"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}),
    "x86-64-v3": frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}),
    "x86-64-v4": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
}
# Instructions that multiply bfloat16 and sum in float32: x86-64's two, and Arm's.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class Processor:
    """`name`: `host` or a level. `features`: instruction set extensions, by the kernel's names."""

    name: str
    features: frozenset[str]

    @property
    def has_avx512(self) -> bool:
        """Whether vectors have 64 bytes, and there are 32 of them."""
        return "avx512f" in self.features

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16 by itself."""
        return not _BFLOAT16.isdisjoint(self.features)

    @property
    def has_float16(self) -> bool:
        """Whether it computes in float16, so that compilers may leave out roundings that eager makes."""
        return "avx512_fp16" in self.features

    @property
    def key(self) -> str:
        """A short name of the instruction set, which binaries are kept by."""
        if self.name != HOST:
            return self.name
        described = " ".join((platform.system(), platform.machine(), *sorted(self.features)))
        return f"{platform.machine()}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"


def processor() -> Processor:
    """The processor that code is compiled for. Raises EngineError for a name that means nothing here."""
    return _named(os.environ.get("BRIDGE_CPU") or HOST)


@cache
def _named(name: str) -> Processor:
    if name == HOST:
        return Processor(HOST, _host_features())
    levels = list(_LEVELS) if platform.machine() in ("x86_64", "AMD64") else []
    if name not in levels:
        raise EngineError(f"BRIDGE_CPU={name}: no such processor; it is one of {', '.join((HOST, *levels))}")
    reached = levels[: levels.index(name) + 1]
    features = frozenset[str]().union(*(_LEVELS[level] for level in reached))
    missing = features - _host_features()
    if missing:
        raise EngineError(f"BRIDGE_CPU={name}: this processor has no {', '.join(sorted(missing))}")
    return Processor(name, features)


@cache
def _host_features() -> frozenset[str]:
    """This machine's instruction set extensions; empty where the kernel does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
