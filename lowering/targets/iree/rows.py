"""Products of one row with a weight, of bfloat16, as IREE computes them fast where the processor has none.

Decoding is made of these, and the time to read the weight once bounds them. IREE's own product of bfloat16
computes a number at a time; one of float32 reads twice as much. Here the weight keeps its type. At load it is
laid out in strips of 16 columns. A call widens by a shift what it reads, and multiplies several strips side
by side, for each sum waits for the one before it.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from iree.compiler import ir
from iree.compiler.dialects import linalg

from lowering.targets.iree.bfloat16 import widen
from lowering.targets.iree.converted import Converted, constant, empty, generic, make

# Columns of a strip, and how many strips are computed side by side: their sums are 8 registers of AVX2.
_STRIP = 16
_BESIDE = 4
# Strips that one worker takes at a time.
_SHARE = 8

_TILES = """#iree_codegen.compilation_info<
  lowering_config = #iree_cpu.lowering_config<
    distribution = [{share}, {strip}, 0], vector_common_parallel = [{beside}, {strip}, 0],
    vector_reduction = [0, 0, 1]>,
  translation_info = #iree_codegen.translation_info<pipeline = #iree_cpu.pipeline<DoubleTilingExpert>>>"""


def rows_in_strips(converted: Converted) -> None:
    """Spell products of a row with a matrix, both of bfloat16, for speed."""
    bfloat16s, single = [ir.BF16Type.get()] * 2, ir.F32Type.get()
    for op in converted.operations("linalg.vecmat"):
        *elements, sums = (operand.type.element_type for operand in op.operands)
        if elements == bfloat16s and sums == single and op.operands[1].type.has_static_shape:
            with ir.InsertionPoint(op), op.location:
                op.results[0].replace_all_uses_with(_product(*list(op.operands)[:2]))
            op.erase()


def _product(row: ir.Value, weight: ir.Value) -> ir.Value:
    half, single = ir.BF16Type.get(), ir.F32Type.get()
    rows, columns = weight.type.shape
    count = -(-columns // _STRIP)
    wide = generic([row], empty([rows], single), [(0,), (0,)], lambda given, _: widen(given))
    padding = [constant(half, 0)] if columns % _STRIP else []
    strips = make(
        "linalg.pack",
        [weight, laid_out := empty([count, rows, _STRIP], half), *padding],
        laid_out.type,
        operandSegmentSizes=ir.DenseI32ArrayAttr.get([1, 1, len(padding), 0]),
        outer_dims_perm=ir.DenseI64ArrayAttr.get([1, 0]),
        inner_dims_pos=ir.DenseI64ArrayAttr.get([1]),
        static_inner_tiles=ir.DenseI64ArrayAttr.get([_STRIP]),
    )
    zeros = linalg.fill(constant(single, 0), outs=[empty([count, _STRIP], single)])
    beside = next(most for most in (_BESIDE, 2, 1) if count % most == 0)
    tiles = _TILES.format(share=min(_SHARE, count), strip=_STRIP, beside=beside)
    sums = generic(
        [wide, strips],
        zeros,
        [(2,), (0, 2, 1), (0, 1)],
        lambda given, narrow, total: make("arith.addf", [total, make("arith.mulf", [given, widen(narrow)])]),
        ("parallel", "parallel", "reduction"),
        compilation_info=ir.Attribute.parse(tiles),
    )
    whole = make(
        "tensor.collapse_shape",
        [sums],
        ir.RankedTensorType.get([count * _STRIP], single),
        reassociation=ir.Attribute.parse("[[0, 1]]"),
    )
    if not padding:
        return whole
    cut = {
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
        "static_offsets": ir.DenseI64ArrayAttr.get([0]),
        "static_sizes": ir.DenseI64ArrayAttr.get([columns]),
        "static_strides": ir.DenseI64ArrayAttr.get([1]),
    }
    return make("tensor.extract_slice", [whole], ir.RankedTensorType.get([columns], single), **cut)
