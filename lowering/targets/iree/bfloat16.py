"""Conversions from and to bfloat16, spelled in bits, which IREE neither folds nor sees through."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, constant, is_parallel, make, operations


def round_integers(converted: Converted) -> None:
    """Spell each integer's conversion to bfloat16 in what every processor has.

    Where the processor has no instruction for bfloat16, IREE's code for such a conversion calls a function of
    a compiler's run-time library, `__truncsfbf2`, which nothing links. It folds a conversion by way of
    float32 back into one, so the second rounding is spelled in bits. Eager rounds twice too.
    """
    half = ir.BF16Type.get()
    for op in converted.operations("arith.sitofp", "arith.uitofp"):
        if op.results[0].type == half:
            with ir.InsertionPoint(op), op.location:
                wide = make(op.name, [op.operands[0]], ir.F32Type.get())
                op.results[0].replace_all_uses_with(_narrow(wide))
            op.erase()


def keep_roundings(converted: Converted) -> None:
    """Spell elementwise conversions from bfloat16 to float32 as shifts.

    IREE computes fused bfloat16 chains in float32 and drops each rounding to bfloat16 between two operations
    (its pass iree-convert-bf16-arith-to-f32); it does not see through the shift. Contractions keep the
    conversion, by which the compiler recognises them.
    """
    half, single = ir.BF16Type.get(), ir.F32Type.get()
    for loop in filter(is_parallel, converted.operations("linalg.generic")):
        for op in operations(loop):
            if op.name == "arith.extf" and op.operands[0].type == half and op.results[0].type == single:
                with ir.InsertionPoint(op), op.location:
                    op.results[0].replace_all_uses_with(widen(op.operands[0]))
                op.erase()


def widen(half: ir.Value) -> ir.Value:
    """A bfloat16 as float32."""
    word = ir.IntegerType.get_signless(32)
    raw = make("arith.bitcast", [half], ir.IntegerType.get_signless(16))
    high = make("arith.shli", [make("arith.extui", [raw], word), constant(word, 16)])
    return make("arith.bitcast", [high], ir.F32Type.get())


def _narrow(single: ir.Value) -> ir.Value:
    """A finite float32 as the nearest bfloat16, of two the even one."""
    word = ir.IntegerType.get_signless(32)
    bits, by = make("arith.bitcast", [single], word), constant(word, 16)
    odd = make("arith.andi", [make("arith.shrui", [bits, by]), constant(word, 1)])
    near = make("arith.addi", [make("arith.addi", [bits, constant(word, 0x7FFF)]), odd])
    high = make("arith.trunci", [make("arith.shrui", [near, by])], ir.IntegerType.get_signless(16))
    return make("arith.bitcast", [high], ir.BF16Type.get())
