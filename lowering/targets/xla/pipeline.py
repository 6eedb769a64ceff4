"""The passes of XLA. The measurements behind each choice: docs/decisions/0017-pipelines.md."""

from __future__ import annotations

from lowering.stablehlo.passes import StableHloPass, StableHloPipeline, stablehlo_pass, stablehlo_pipeline
from lowering.targets.target import DEVICES, Machine, this_machine


def pipelines() -> tuple[StableHloPipeline, ...]:
    """The pipelines of each device, on this machine."""
    return tuple(pipeline(device, this_machine()) for device in DEVICES)


def pipeline(device: str, machine: Machine) -> StableHloPipeline:
    """The pipeline of a segment's module before XLA compiles it."""
    chosen = _for_cpu(machine) if device == "cpu" else []
    return stablehlo_pipeline(
        f"xla-{device}",
        *chosen,
        # XLA drops barriers before LLVM draws products and sums together.
        stablehlo_pass("keep-product-roundings", required=True),
        # XLA makes a choice of a product with a cast boolean, at the cost of NaN and of signs of zeros.
        stablehlo_pass("choose-cast-booleans", required=True),
        stablehlo_pass("erase-dead-operations", ensures=("no-dead-operations",)),
        stablehlo_pass("merge-equal-operations", requires=("no-dead-operations",)),
        # Two products that are one are seen to be so.
        stablehlo_pass("keep-products-that-cancel", required=True),
        # XLA computes at each call what rests on weights alone; its load-time part is a program of its own.
        *([stablehlo_pass("weight-hoisting")] if device == "cpu" else []),
    )


def _for_cpu(machine: Machine) -> list[StableHloPass]:
    # LLVM draws products and sums of float16 together; XLA cannot be told of a processor without float16.
    rounded = [stablehlo_pass("round-float16-products", required=True)] if machine.has_float16 else []
    return [
        stablehlo_pass("fold-channel-scales"),
        stablehlo_pass(
            "convolutions-channels-last",
            depthwise_as_shifted_sums=True,
            # Eigen, which is best on one thread, convolves as fast as it multiplies.
            winograd=machine.cores > 1,
            float16_as_im2col=True,
        ),
        stablehlo_pass("attention-in-blocks"),
        # Eigen and YNN read [in, out] faster, but one row of float16 as [out, in].
        stablehlo_pass("matmul-weights-in-out"),
        # XLA converts the whole matrix to float32 for one row of float16, at each call.
        stablehlo_pass("pad-single-row-matmuls"),
        # XLA multiplies by reciprocals, and draws quotients of quotients together. It drops the barriers
        # before it fuses, so that they cost nothing but the division.
        stablehlo_pass("keep-divisions", required=True),
        # It merges functions of functions, and two constants, as if numbers had no range and no rounding.
        stablehlo_pass("keep-overflows", required=True),
        *rounded,
        # XLA's threads flush subnormals, without a switch for it.
        stablehlo_pass("keep-subnormals", required=True),
    ]
