"""Forms: the canonical module of a segment rewritten into what one engine runs fastest.

What is exported stays canonical. A form changes how a result is computed, never its type, and its value only
by the order of roundings. Each rewrite works on StableHLO, so it serves every rule that emits it.
`lowering.stablehlo.passes.form` applies them; this file, which imports nothing, says who wants which.
"""

from __future__ import annotations

from dataclasses import dataclass

# Changed whenever the rewrites are: binaries of other forms are compiled anew.
REVISION = 13


@dataclass(frozen=True, slots=True)
class Form:
    """What an engine wants; the measurements are in docs/decisions/0017-forms.md.

    `channels_last`: convolutions on [batch, space..., channels], kernels of one tap and patches side by side
    as products, scales of batch norms folded in. `taps`: depthwise convolutions as sums of shifted products.
    `winograd`: 3x3 ones of float32 as products of transformed tiles. `im2col`: those of halves as one product
    of neighbours side by side; `lines`: those along a line too; `many`: those of many channels too. `apart`:
    products of what depthwise ones make apart from them. `blocks`: attention in blocks whose scores fit the
    caches. `even`: products with batch axes on axes that vectors divide. `in_out`: the weights of products as
    [in, out], but those of halves. `padded_rows`: products of one row of halves as products of two.
    `widened`: products and convolutions of bfloat16 from operands of float32. `load_time`: what depends on
    weights alone is a module of its own that runs once. `exact`: sines, cosines and tangents of float32 from
    reduced angles, absolute values of complex numbers without overflow, powers and atan2 as C has them.
    `divisions`: divisions that stay divisions. `subnormals`: comparisons of subnormal arguments by their
    bits. `products`: products of float16 that are rounded on their own.
    """

    channels_last: bool = False
    taps: bool = False
    winograd: bool = False
    im2col: bool = False
    lines: bool = False
    many: bool = False
    apart: bool = False
    blocks: bool = False
    even: bool = False
    in_out: bool = False
    padded_rows: bool = False
    widened: bool = False
    load_time: bool = False
    exact: bool = False
    divisions: bool = False
    subnormals: bool = False
    products: bool = False


def form_for(
    engine: str, device: str, cores: int, *, has_avx512: bool, has_bfloat16: bool, has_float16: bool = False
) -> Form:
    """What an engine wants on a device, given how many processor cores it may use, and what they have."""
    if device != "cpu":
        return Form()
    if engine == "xla":
        # Eigen, which is best on one thread, convolves as fast as it multiplies; what replaces it on several
        # threads does not. Both read [in, out] faster.
        return Form(
            channels_last=True,
            taps=True,
            winograd=cores > 1,
            im2col=True,
            blocks=True,
            in_out=True,
            padded_rows=True,
            load_time=True,
            divisions=True,
            subnormals=True,
            # LLVM draws products and sums together; IREE is told of a processor without float16.
            products=has_float16,
        )
    # IREE hoists what rests on weights by itself, and has kernels for depthwise convolutions. Its own sine is
    # 3e-5 off at an angle of 1e3 and 3e-2 at 1e6, and its tangent as much near a pole; its complex absolute
    # value squares float32, which overflows at 2e19; its power of a negative number is NaN, and its atan2 of
    # zeros too.
    return Form(
        channels_last=True,
        winograd=True,
        im2col=True,
        lines=True,
        # Its own convolution of many channels took up to 30 times as long as eager's with AVX2 alone.
        many=not has_avx512,
        apart=True,
        blocks=True,
        even=True,
        widened=not has_bfloat16,
        exact=True,
        subnormals=True,
    )
