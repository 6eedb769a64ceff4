"""Common to the passes: finding and replacing operations, permuting values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from lowering.stablehlo.context import Vocabulary
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.recovered_sizes import without_stamps
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, binary, tensor_type

ELEMENTWISE = frozenset(
    f"stablehlo.{name}"
    for name in """
    abs add and atan2 cbrt ceil clamp compare complex convert cosine count_leading_zeros divide
    exponential exponential_minus_one floor imag is_finite log log_plus_one logistic maximum minimum
    multiply negate not or popcnt power real reduce_precision remainder round_nearest_afz
    round_nearest_even rsqrt select shift_left shift_right_arithmetic shift_right_logical sign sine sqrt
    subtract tan tanh xor
    """.split()
)

Permutation = tuple[int, ...]

# The vocabulary of the rules, at the current insertion point.
cx = Vocabulary()


def maker(value: ir.Value, name: str) -> Any | None:
    """The operation of this name that makes a value; None where another does, or it is an argument."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != name:
        return None
    return owner.opview


def direction_of(compare: ir.Operation) -> str:
    """How an operation compares: EQ, NE, GE, GT, LE or LT."""
    return str(compare.attributes["comparison_direction"]).rpartition(" ")[2].rstrip(">")


def broadcast_of(value: ir.Value) -> Any | None:
    """The broadcast that makes a value, whose own sizes a call may say; None where it says the operand's."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name not in _BROADCASTS:
        return None
    return None if any_symbolic(Value(owner.operands[0]).shape) else owner.opview


_BROADCASTS = ("stablehlo.broadcast_in_dim", "stablehlo.dynamic_broadcast_in_dim")


def splat_of(value: ir.Value) -> float | None:
    """The floating-point number that a constant is full of, broadcast or not; None for any other value."""
    spread = maker(value, "stablehlo.broadcast_in_dim")
    made = maker(value if spread is None else spread.operand, "stablehlo.constant")
    if made is None:
        return None
    data = ir.DenseElementsAttr(made.value)
    if not data.is_splat:
        return None
    number: ir.Attribute = data.get_splat_value()
    return float(ir.FloatAttr(number).value)


def is_used_once(value: ir.Value) -> bool:
    return len(list(value.uses)) == 1


def replace(op: Any, result: Value) -> None:
    """Let a value stand for the only result of an operation, which goes."""
    op.operation.results[0].replace_all_uses_with(result.ir)
    op.operation.erase()


def clone(op: Any, operands: list[Value], shape: tuple[int, ...], **attributes: ir.Attribute) -> Value:
    """A copy of an operation on other operands, its result of another shape."""
    copy = op.operation.clone()
    without_stamps(copy)
    for at, operand in enumerate(operands):
        copy.operands[at] = operand.ir
    for name, attribute in attributes.items():
        copy.attributes[name] = attribute
    result = copy.results[0]
    result.set_type(tensor_type(Value(result).dtype, shape))
    return Value(result)


def clamped(places: Value, most: int) -> Value:
    """Numbers, each between 0 and `most`."""
    return binary(stablehlo.minimum, binary(stablehlo.maximum, places, 0), most)


def selected(value: Value, places: Value, axis: int) -> Value:
    """Whole slices along an axis, in the order of `places` (int64, any shape), which stands for the axis."""
    sizes = (*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])
    type_ = tensor_type(value.dtype, sizes)
    return Value(stablehlo.torch_index_select(type_, value.ir, places.ir, axis, 0), sizes)


def rests_on(value: ir.Value, weights: set[ir.Value]) -> bool:
    """Whether the elements of a value depend on weights and constants alone."""
    seen: set[ir.Value] = set()
    left = [value]
    while left:
        found = left.pop()
        if found in seen or found in weights:
            continue
        seen.add(found)
        owner = found.owner
        if isinstance(owner, ir.Block) or list(owner.regions):
            return False
        operands = list(owner.operands)
        # The second operand of one that a call sizes is the shape.
        left += operands[:1] if owner.name == "stablehlo.dynamic_broadcast_in_dim" else operands
    return True


# Regions whose operations run on whole tensors; those of reductions combine two scalars.
_CONTROL_FLOW = frozenset({"stablehlo.while", "stablehlo.case", "stablehlo.if"})


def operations(block: ir.Block) -> Iterator[Any]:
    """The operations of a block and of the control flow below it, as they were when each block was begun."""
    for op in list(block.operations):
        if op.operation.name in _CONTROL_FLOW:
            for region in op.operation.regions:
                for inner in region.blocks:
                    yield from operations(inner)
        yield op


def everywhere(block: ir.Block) -> Iterator[Any]:
    """The operations of a block and of all regions below it, inner ones first, as they were when each block
    was begun."""
    for op in list(block.operations):
        for region in op.operation.regions:
            for inner in region.blocks:
                yield from everywhere(inner)
        yield op


def rewrite_matmuls(block: ir.Block, rewrite: Callable[[Any], Value | None]) -> None:
    """Let what a rewrite makes of a matmul stand for it, for all of a block; None leaves one as it is."""
    for op in list(block.operations):
        if op.operation.name != "stablehlo.dot_general":
            continue
        with ir.InsertionPoint(op), op.location:
            made = rewrite(op)
            if made is not None:
                replace(op, made)


# ------------------------------------------------------------------------------ permutations


def inverse(permutation: Sequence[int]) -> Permutation:
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def permuted(value: Value, permutation: Permutation) -> Value:
    """Axis i of the result is axis `permutation[i]` of the value; two transpositions become one or none."""
    before = maker(value.ir, "stablehlo.transpose")
    if before is not None:
        value = Value(before.operand)
        first = list(before.permutation)
        permutation = tuple(first[axis] for axis in permutation)
        return permuted(value, permutation)
    return cx.transpose(value, permutation)


def channel_vector(value: ir.Value, axis: int) -> Value | None:
    """The vector that a broadcast spreads over all axes but this one; None for any other value."""
    made = broadcast_of(value)
    if made is None:
        return None
    operand = Value(made.operand)
    size = Value(value).shape[axis]
    places = {d for d, n in zip(_dims(made), operand.shape, strict=True) if n > 1}
    if not places <= {axis} or operand.size not in (1, size):
        return None
    return cx.broadcast(cx.reshape(operand, (operand.size,)), (size,))


def squeezed_broadcast(made: Any) -> tuple[Value, dict[int, int]]:
    """A broadcast's operand without its axes of size 1, and the axis of the result that each one is."""
    operand = Value(made.operand)
    kept = [(d, n) for d, n in zip(_dims(made), operand.shape, strict=True) if n > 1]
    return cx.reshape(operand, [n for _, n in kept]), {at: d for at, (d, _) in enumerate(kept)}


def _dims(made: Any) -> Iterable[int]:
    return list(made.broadcast_dimensions)
