"""The flags by which IREE's compiler is told of the processor."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.host.processor import HOST, Processor

# Extensions that processors with float16 may have beside x86-64-v4: the kernel's names, and LLVM's.
_BEYOND_V4: Mapping[str, str] = {
    "avx512_bf16": "avx512bf16",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_vnni": "avx512vnni",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
    "avx_vnni": "avxvnni",
    "gfni": "gfni",
    "vaes": "vaes",
    "vpclmulqdq": "vpclmulqdq",
}


def flags_of(processor: Processor) -> tuple[str, ...]:
    """All extensions but float16, whose roundings LLVM leaves out, and matrices, which go unused."""
    if processor.name != HOST or not processor.has_float16:
        return (f"--iree-llvmcpu-target-cpu={processor.name}",)
    more = ",".join(f"+{llvm}" for kernel, llvm in _BEYOND_V4.items() if kernel in processor.features)
    return ("--iree-llvmcpu-target-cpu=x86-64-v4", f"--iree-llvmcpu-target-cpu-features={more}")
