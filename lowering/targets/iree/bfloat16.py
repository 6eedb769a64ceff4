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


# Operations on bits, whatever they stand for.
_OF_BITS = frozenset(("arith.bitcast", "arith.select"))


def keep_roundings(converted: Converted) -> None:
    """Compute elements of bfloat16 in float32, and read each as a shift of its bits.

    IREE computes fused bfloat16 chains in float32 and drops each rounding to bfloat16 between two operations
    (its pass iree-convert-bf16-arith-to-f32); it does not see through the shift. Contractions keep the
    conversion, by which the compiler recognises them.
    """
    half = ir.BF16Type.get()
    for loop in filter(is_parallel, converted.operations("linalg.generic")):
        for op in operations(loop):
            computes = op.name.startswith(("arith.", "math.")) and op.name not in _OF_BITS
            if computes and any(operand.type == half for operand in op.operands):
                with ir.InsertionPoint(op), op.location:
                    op.results[0].replace_all_uses_with(_in_float32(op, half))
                op.erase()


def _in_float32(op: ir.Operation, half: ir.Type) -> ir.Value:
    """The result of an operation whose operands of bfloat16 are widened, rounded where it was rounded."""
    operands = [widen(operand) if operand.type == half else operand for operand in op.operands]
    type_, single = op.results[0].type, ir.F32Type.get()
    if op.name == "arith.extf" and type_ == single:
        return operands[0]
    attributes = {name: op.attributes[name] for name in op.attributes}
    made = make(op.name, operands, single if type_ == half else type_, **attributes)
    return make("arith.truncf", [made], half) if type_ == half else made


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
