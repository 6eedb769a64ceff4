"""The passes of IREE. The measurements behind each choice: docs/decisions/0017-pipelines.md.

IREE hoists what rests on weights by itself, and has kernels for depthwise convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lowering.passes.pipeline import Option, Pass, Pipeline
from lowering.stablehlo.passes import StableHloPass, StableHloPipeline, stablehlo_pass, stablehlo_pipeline
from lowering.targets.target import DEVICES, Machine, this_machine

if TYPE_CHECKING:
    from lowering.targets.iree.converted import Converted


def pipelines() -> tuple[Pipeline[Any], ...]:
    """The pipelines of each device, on this machine, in the order in which a module meets them."""
    kinds: tuple[Callable[[str, Machine], Pipeline[Any]], ...] = (
        pipeline,
        dynamic_pipeline,
        converted_pipeline,
    )
    return tuple(make(device, this_machine()) for make in kinds for device in DEVICES)


def pipeline(device: str, machine: Machine) -> StableHloPipeline:
    """The pipeline of a segment's module before IREE compiles it."""
    chosen = _for_cpu(machine) if device == "cpu" else []
    return stablehlo_pipeline(
        f"iree-{device}",
        *chosen,
        *_legalised(),
        stablehlo_pass("erase-dead-operations", ensures=("no-dead-operations",)),
        stablehlo_pass("merge-equal-operations", requires=("no-dead-operations",)),
    )


def dynamic_pipeline(device: str, machine: Machine) -> StableHloPipeline:
    """The pipeline of a segment's module for all sizes before IREE compiles it: what makes it right, what
    makes it fast at any size, and the form that IREE takes."""
    on_cpu = _for_cpu(machine) if device == "cpu" else []
    chosen = [item for item in on_cpu if item.required or item.name in _AT_ALL_SIZES]
    return stablehlo_pipeline(
        f"iree-dynamic-{device}",
        *chosen,
        # It takes no windows where a call says another size than a convolution's batch.
        stablehlo_pass("dynamic-windows", required=True),
        *_legalised(),
        *_dynamic_forms(),
        stablehlo_pass("erase-dead-operations", ensures=("no-dead-operations",)),
        stablehlo_pass("merge-equal-operations", requires=("no-dead-operations",)),
    )


def converted_pipeline(device: str, machine: Machine) -> Pipeline[Converted]:
    """The pipeline between IREE's input conversion and the rest of its compiler.

    Raises ModuleNotFoundError where the compiler is not installed.
    """
    from lowering.targets.iree.bfloat16 import keep_roundings, round_integers
    from lowering.targets.iree.checks import hold_checks
    from lowering.targets.iree.copies import copy_overwritten_values
    from lowering.targets.iree.entries import bind_weights
    from lowering.targets.iree.insertions import hold_insertions
    from lowering.targets.iree.lookups import hold_lookups
    from lowering.targets.iree.masks import read_masks_as_bytes
    from lowering.targets.iree.products import tie_products
    from lowering.targets.iree.rows import rows_in_strips

    is_cpu = device == "cpu"
    passes = [
        _converted_pass(copy_overwritten_values, required=True),
        _converted_pass(hold_insertions, required=True),
        _converted_pass(hold_checks, required=True),
        _converted_pass(hold_lookups, required=True),
        _converted_pass(tie_products, required=True),
        _converted_pass(read_masks_as_bytes, required=True),
        _converted_pass(round_integers, required=True),
        _converted_pass(keep_roundings, required=True),
        *([_converted_pass(rows_in_strips)] if is_cpu and not machine.has_bfloat16 else []),
        _converted_pass(bind_weights, required=True, **({"memory": True} if is_cpu else {})),
    ]
    return Pipeline(
        f"iree-converted-{device}",
        "converted module",
        tuple(passes),
        lambda converted: converted.verify(),
        lambda converted: converted.text(),
    )


def _converted_pass(
    rewrite: Callable[..., None], required: bool = False, **options: Option
) -> Pass[Converted]:
    """A pass of the name of its function, and of the first line of its docstring."""

    def run(converted: Converted) -> Converted:
        rewrite(converted, **options)
        return converted

    summary = (rewrite.__doc__ or "").partition("\n")[0]
    return Pass(rewrite.__name__.replace("_", "-"), run, summary, options, required=required)


def _legalised() -> list[StableHloPass]:
    """Operations that IREE 3.13 refuses, crashes on or computes wrongly become others of the same value.

    They come last, for the passes before them may make such operations.
    """
    return [
        # It has no hyperbolic tangent of float64.
        stablehlo_pass("legalise-functions", required=True),
        # It makes 0 of what rounds to the least normal float8, and a number of a NaN; it has no conversion
        # between float8 and float16 or float64.
        stablehlo_pass("legalise-float8", required=True),
        # It adds booleans modulo 2: in tensors, in scalars, and in the regions of scatters.
        stablehlo_pass("legalise-booleans", required=True),
        # It makes a choice of a product with a cast boolean, at the cost of NaN and of signs of zeros.
        stablehlo_pass("choose-cast-booleans", required=True),
        # A scalar predicate chooses a buffer on the host: a wait in each turn of a loop, and where the loop
        # returns two values made before it, a module that fails when it runs.
        stablehlo_pass("legalise-selections", required=True),
        # Its compiler crashes on products without terms.
        stablehlo_pass("legalise-dots", required=True),
        # Its compiler refuses a window that fits once, with more behind it.
        stablehlo_pass("legalise-windows", required=True),
        # It writes updates that are out of bounds into other memory. And it refuses some scatters whose
        # indices have 64 bits (`index_copy` with one index, for one).
        stablehlo_pass("legalise-scatters", required=True),
        # Its compiler crashes on complex pads of some sizes (5x3x7 to 5x3x10), and it takes one pad with a
        # gap after a single element for another.
        stablehlo_pass("legalise-pads", required=True),
        # Its sort is a bubble sort that is not stable.
        stablehlo_pass("legalise-sorts", required=True),
    ]


def _dynamic_forms() -> list[StableHloPass]:
    """The form of operations on sizes of a call that IREE 3.13 takes; it refuses all others."""
    return [
        # It ended the loop of a series too early, so that the sum was wrong. The cause was not found.
        stablehlo_pass("refuse-dynamic-loops", required=True),
        # It makes reshapes of products with several free axes, or none.
        stablehlo_pass("dynamic-dots", required=True),
        # It merges broadcasts, and forgets then which axes stretch.
        stablehlo_pass("dynamic-broadcasts", required=True),
        # It takes no update of such a tensor, nor one of such a size.
        stablehlo_pass("dynamic-updates", required=True),
        # It reshapes indices, and takes no window whose size a call says.
        stablehlo_pass("dynamic-gathers", required=True),
        stablehlo_pass("dynamic-pads", required=True),
        # It has no reshape to sizes of a call.
        stablehlo_pass("dynamic-reshapes", required=True),
        # It computes sizes that are tensors where it computes tensors, and waits for them.
        stablehlo_pass("sizes-as-index", required=True),
    ]


# The passes for speed that are for modules for all sizes, too. The others ask how large something is.
_AT_ALL_SIZES = ("fold-channel-scales", "convolutions-channels-last")


def _for_cpu(machine: Machine) -> list[StableHloPass]:
    # IREE computes matmuls and convolutions of bfloat16 a number at a time where the processor has no
    # bfloat16. One row times a weight stays: `lowering.targets.iree.rows` spells it.
    through = not machine.has_bfloat16
    widened = [stablehlo_pass("bfloat16-through-float32")] if through else []
    return [
        stablehlo_pass("fold-channel-scales"),
        stablehlo_pass(
            "convolutions-channels-last",
            winograd=True,
            float16_as_im2col=True,
            # IREE leaves convolutions along a line as loops.
            one_axis_as_im2col=True,
            # Its own convolution of many channels took up to 30 times as long as eager's with AVX2 alone.
            many_channels_as_im2col=not machine.has_avx512,
            # It would compute a depthwise convolution by the tiles of the matmul after it.
            barrier_after_depthwise=True,
            bfloat16_through_float32=through,
        ),
        stablehlo_pass("attention-in-blocks"),
        # Its matmuls with batch axes take single numbers where a vector does not divide an axis: 12 times
        # 197x64 by 64x197 took 6.4 ms, and take 0.3 as 208x64 by 64x208.
        stablehlo_pass("pad-batched-matmuls"),
        *widened,
        # Its own sine is 3e-5 off at an angle of 1e3 and 3e-2 at 1e6, and its tangent as much near a pole;
        # its complex absolute value squares float32, which overflows at 2e19; its power of a negative
        # number is NaN, and its atan2 of zeros too.
        stablehlo_pass("exact-libm-functions", required=True),
        # Its threads flush subnormals, without a switch for it.
        stablehlo_pass("keep-subnormals", required=True),
    ]
