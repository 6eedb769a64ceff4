"""The sizes of a portable module's values, read off the module itself: expressions over its symbols.

MLIR's types say only which sizes are known at the call. A size that the module computes, by
`get_dimension_size` and arithmetic on int64, is an expression over the sizes of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module, Port
from lowering.ir.symbols import Apply
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.size_questions import surely_less
from lowering.stablehlo.symbolic import Assumptions, Specialised, term

Shape = tuple[int, ...]

# The name of the attribute that keeps the shapes of an operation's results: their places in a table. It goes
# where its operation goes.
_STAMP = "bridge_sizes"
# The same for the numbers that an operation on sizes gives.
_NUMBERS = "bridge_numbers"
_DYNAMIC = ir.ShapedType.get_dynamic_size()


def interface(module: DynamicModule, assumptions: Assumptions) -> Module:
    """A module's ports with sizes that passes compute with, as a `Module` has them."""

    def ported(port: Any) -> Port:
        sizes = tuple(size if isinstance(size, int) else assumptions.size(size) for size in port.sizes)
        return Port(port.name, port.dtype, sizes, port.weight)

    inputs, outputs = (tuple(map(ported, ports)) for ports in (module.inputs, module.outputs))
    return Module(module.code, inputs, outputs, module.name, module.checks)


class RecoveredSizes:
    """The shapes of the values of one `@main`, whose sizes are ints and symbolic sizes.

    `ports`: those of the arguments. `symbols`: the expression of each argument that is a size itself.
    """

    def __init__(
        self, entry: ir.Block, ports: Sequence[Port], symbols: Sequence[Any], assumptions: Assumptions
    ) -> None:
        self._entry = entry
        self._ports = [port.sizes for port in ports]
        self._symbols = list(symbols)
        self._assumptions = assumptions
        self._table: list[Shape] = []
        self._places: dict[tuple[Any, ...], int] = {}

    def stamp_all(self) -> None:
        """Find the shapes of all results, in order. Raises Specialised for one that is not understood."""
        _each(self._entry, self._stamp)

    def clear(self) -> None:
        """Take all stamps off."""
        _each(self._entry, without_stamps)

    def stamp(self, value: ir.Value, shape: Sequence[int]) -> None:
        """Keep the shape of an operation's only result."""
        owner: Any = value.owner
        owner.attributes[_STAMP] = ir.DenseI64ArrayAttr.get([self._place(tuple(shape))])

    def of(self, value: ir.Value) -> Shape:
        """A value's shape. Raises Specialised."""
        type_ = ir.RankedTensorType(value.type)
        if type_.has_static_shape:
            return tuple(type_.shape)
        found = self._found(value)
        sizes = zip(type_.shape, found, strict=True)
        return tuple(own if known == _DYNAMIC else known for known, own in sizes)

    def numbers(self, value: ir.Value) -> list[int]:
        """The elements of a tensor of sizes, of rank 0 or 1, row-major. Raises Specialised."""
        owner = value.owner
        if isinstance(owner, ir.Block):
            size = self._symbols[ir.BlockArgument(value).arg_number] if owner == self._entry else None
            if size is not None:
                return [size]
            raise Specialised("a size is read from data")
        if _NUMBERS in owner.attributes:
            return list(self._table[ir.IntegerAttr(owner.attributes[_NUMBERS]).value])
        found = self._numbers_of(owner)
        place = self._place(tuple(found))
        owner.attributes[_NUMBERS] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), place)
        return found

    def _numbers_of(self, owner: Any) -> list[int]:
        if owner.name == "stablehlo.constant":
            return [int(number) for number in ir.DenseIntElementsAttr(owner.attributes["value"])]
        operands = list(owner.operands)
        if owner.name == "stablehlo.get_dimension_size":
            return [self.of(operands[0])[ir.IntegerAttr(owner.attributes["dimension"]).value]]
        if owner.name in ("stablehlo.convert", "stablehlo.reshape"):
            return self.numbers(operands[0])
        if owner.name == "stablehlo.concatenate":
            return [number for operand in operands for number in self.numbers(operand)]
        if owner.name == "stablehlo.remainder" and (around := _rounded_down(owner)) is not None:
            pairs = zip(*map(self.numbers, around), strict=True)
            return [value - value // by * by for value, by in pairs]
        combine = _ARITHMETIC.get(owner.name)
        if combine is None:
            raise Specialised(f"a size is a result of {owner.name}")
        pairs = zip(*(self.numbers(operand) for operand in operands), strict=True)
        return [combine(self._assumptions, left, right) for left, right in pairs]

    def _stamp(self, op: ir.Operation) -> None:
        if all(not _is_dynamic(result) for result in op.results):
            return
        places = [self._place(self.of(result)) for result in op.results]
        op.attributes[_STAMP] = ir.DenseI64ArrayAttr.get(places)

    def _place(self, shape: Shape) -> int:
        key = tuple(map(term, shape))
        if key not in self._places:
            self._places[key] = len(self._table)
            self._table.append(shape)
        return self._places[key]

    def _found(self, value: ir.Value) -> Shape:
        owner = value.owner
        if isinstance(owner, ir.Block):
            return self._of_argument(ir.BlockArgument(value), owner)
        at = ir.OpResult(value).result_number
        if _STAMP in owner.attributes:
            return self._table[ir.DenseI64ArrayAttr(owner.attributes[_STAMP])[at]]
        rule = _RULES.get(owner.name)
        if rule is None:
            raise Specialised(f"the sizes of a result of {owner.name} are not understood")
        return tuple(rule(self, owner, at))

    def _of_argument(self, value: ir.BlockArgument, block: ir.Block) -> Shape:
        if block == self._entry:
            return self._ports[value.arg_number]
        loop: Any = block.owner
        if loop is None or loop.operation.name != "stablehlo.while":
            raise Specialised("the sizes of a region's argument are not understood")
        return self.of(loop.operation.operands[value.arg_number])


def _each(block: ir.Block, visit: Callable[[ir.Operation], object]) -> None:
    """Visit the operations of a block and of its regions, inner ones first."""
    for op in list(block.operations):
        for region in op.operation.regions:
            for inner in region.blocks:
                _each(inner, visit)
        visit(op.operation)


def without_stamps(op: ir.Operation) -> None:
    """Take the stamps off one operation: a copy whose sizes will be others has those of the original."""
    for name in (_STAMP, _NUMBERS):
        if name in op.attributes:
            del op.attributes[name]


def _is_dynamic(value: ir.Value) -> bool:
    type_ = value.type
    return isinstance(type_, ir.RankedTensorType) and not type_.has_static_shape


# ------------------------------------------------------------------ arithmetic on sizes


def _chosen(op: str) -> Callable[[Assumptions, int, int], int]:
    return lambda known, a, b: known.size(Apply(op, (term(a), term(b))))


def _quotient(known: Assumptions, a: int, b: int) -> int:
    """StableHLO's division rounds towards zero, and that of sizes down."""
    quotient = a // b
    if known.provably_equal(term(quotient * b), term(a)):
        return quotient
    if not (surely_less(-1, a) and surely_less(-1, b)):
        raise Specialised(f"the quotient of {a} and {b} may be negative")
    return quotient


def _remainder(known: Assumptions, a: int, b: int) -> int:
    return a - _quotient(known, a, b) * b


def _rounded_down(op: Any) -> tuple[ir.Value, ir.Value] | None:
    """The operands of `(a % b + b) % b`, whose remainders round towards zero; None for anything else."""
    sum_, by = op.operands
    if isinstance(sum_.owner, ir.Block) or sum_.owner.name != "stablehlo.add" or sum_.owner.operands[1] != by:
        return None
    inner = sum_.owner.operands[0].owner
    if isinstance(inner, ir.Block) or inner.name != "stablehlo.remainder" or inner.operands[1] != by:
        return None
    return inner.operands[0], by


_ARITHMETIC: dict[str, Callable[[Assumptions, int, int], int]] = {
    "stablehlo.add": lambda _, a, b: a + b,
    "stablehlo.subtract": lambda _, a, b: a - b,
    "stablehlo.multiply": lambda _, a, b: a * b,
    "stablehlo.divide": _quotient,
    "stablehlo.remainder": _remainder,
    "stablehlo.maximum": _chosen("Max"),
    "stablehlo.minimum": _chosen("Min"),
}

# ------------------------------------------------------------------ the shapes of results

_Rule = Callable[[RecoveredSizes, Any, int], Iterable[int]]


def _operand(at: int) -> _Rule:
    return lambda sizes, op, _: sizes.of(op.operands[at])


def _own_operand(sizes: RecoveredSizes, op: ir.Operation, at: int) -> Shape:
    """Result i is like operand i."""
    return sizes.of(op.operands[at])


def _vector(at: int) -> _Rule:
    """The sizes are an operand."""
    return lambda sizes, op, _: sizes.numbers(op.operands[at])


def _as_bits(sizes: RecoveredSizes, op: Any, _: int) -> Shape:
    """Elements of another width share the last axis, which comes or goes."""
    shape, type_ = sizes.of(op.operands[0]), ir.RankedTensorType(op.results[0].type)
    return (*shape, type_.shape[-1]) if type_.rank > len(shape) else shape[: type_.rank]


def _transposed(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    shape = sizes.of(op.operands[0])
    return [shape[axis] for axis in op.opview.permutation]


def _sliced(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    start, limit, stride = (sizes.numbers(op.operands[at]) for at in (1, 2, 3))
    return [-(-(b - a) // c) for a, b, c in zip(start, limit, stride, strict=True)]


def _padded(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    view = op.opview
    parts = [list(view.edge_padding_low), list(view.edge_padding_high), list(view.interior_padding)]
    return _with_padding(sizes.of(op.operands[0]), *parts)


def _padded_at_call(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    return _with_padding(sizes.of(op.operands[0]), *(sizes.numbers(op.operands[at]) for at in (2, 3, 4)))


def _with_padding(shape: Shape, low: list[int], high: list[int], gaps: list[int]) -> list[int]:
    parts = zip(shape, low, high, gaps, strict=True)
    return [n + a + b + (gap * (n - 1) if gap else 0) for n, a, b, gap in parts]


def _joined(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    axis = op.opview.dimension.value
    shapes = [sizes.of(operand) for operand in op.operands]
    result = list(shapes[0])
    for shape in shapes[1:]:
        result[axis] += shape[axis]
    return result


def _reduced(sizes: RecoveredSizes, op: Any, at: int) -> list[int]:
    gone = {*op.opview.dimensions}
    return [size for axis, size in enumerate(sizes.of(op.operands[at])) if axis not in gone]


def _product(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    left, right = (sizes.of(operand) for operand in op.operands)
    numbers = stablehlo.DotDimensionNumbers(op.attributes["dot_dimension_numbers"])
    own = [
        ({*numbers.lhs_batching_dimensions, *numbers.lhs_contracting_dimensions}, left),
        ({*numbers.rhs_batching_dimensions, *numbers.rhs_contracting_dimensions}, right),
    ]
    free = [size for used, shape in own for axis, size in enumerate(shape) if axis not in used]
    return [left[axis] for axis in numbers.lhs_batching_dimensions] + free


def _gathered(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    numbers = stablehlo.GatherDimensionNumbers(op.attributes["dimension_numbers"])
    constant = op.name == "stablehlo.gather"
    window = list(op.opview.slice_sizes) if constant else sizes.numbers(op.operands[2])
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = iter([size for axis, size in enumerate(window) if axis not in dropped])
    indices = sizes.of(op.operands[1])
    rows = iter([size for axis, size in enumerate(indices) if axis != numbers.index_vector_dim])
    offset = {*numbers.offset_dims}
    rank = ir.RankedTensorType(op.results[0].type).rank
    return [next(kept) if axis in offset else next(rows) for axis in range(rank)]


def _selected(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    """`torch_index_select` without batch axes."""
    shape, axis = sizes.of(op.operands[0]), ir.IntegerAttr(op.attributes["dim"]).value
    return [*shape[:axis], *sizes.of(op.operands[1]), *shape[axis + 1 :]]


def _convolved(sizes: RecoveredSizes, op: Any, _: int) -> list[int]:
    view = op.opview
    numbers = stablehlo.ConvDimensionNumbers(op.attributes["dimension_numbers"])
    value, kernel = (sizes.of(operand) for operand in op.operands)
    result = [0] * len(value)
    result[numbers.output_batch_dimension] = value[numbers.input_batch_dimension]
    result[numbers.output_feature_dimension] = kernel[numbers.kernel_output_feature_dimension]
    spatial = list(numbers.input_spatial_dimensions)
    names = ("window_strides", "lhs_dilation", "rhs_dilation")
    moved = _moved(
        [value[axis] for axis in spatial],
        [kernel[axis] for axis in numbers.kernel_spatial_dimensions],
        [_given(view, name, len(spatial)) for name in names],
        view.padding,
    )
    for axis, size in zip(numbers.output_spatial_dimensions, moved, strict=True):
        result[axis] = size
    return result


def _windowed(sizes: RecoveredSizes, op: Any, at: int) -> list[int]:
    view, shape = op.opview, sizes.of(op.operands[at])
    names = ("window_strides", "base_dilations", "window_dilations")
    given = [_given(view, name, len(shape)) for name in names]
    return _moved(shape, list(view.window_dimensions), given, view.padding)


def _given(view: Any, name: str, count: int) -> list[int]:
    attribute = getattr(view, name)
    return [1] * count if attribute is None else list(attribute)


def _moved(shape: Sequence[int], window: Sequence[int], how: list[list[int]], padding: Any) -> list[int]:
    """How many places a window has along each axis. `how`: its strides, the gaps between elements, and those
    between its own."""
    strides, gaps, dilations = how
    pads = [0] * (2 * len(shape)) if padding is None else [int(n) for n in ir.DenseIntElementsAttr(padding)]
    result: list[int] = []
    for at, size in enumerate(shape):
        wide = (size - 1) * gaps[at] + 1 + pads[2 * at] + pads[2 * at + 1]
        result.append((wide - (window[at] - 1) * dilations[at] - 1) // strides[at] + 1)
    return result


def _branch(sizes: RecoveredSizes, op: Any, at: int) -> Shape:
    """As the first branch returns it."""
    last = list(op.regions[0].blocks[0].operations)[-1]
    return sizes.of(last.operation.operands[at])


_BY_ELEMENT = """
    abs add and atan2 cbrt ceil compare complex convert cosine count_leading_zeros divide
    exponential exponential_minus_one floor imag is_finite log log_plus_one logistic maximum minimum multiply
    negate not or popcnt power real reduce_precision remainder reverse round_nearest_afz round_nearest_even
    rsqrt shift_left shift_right_arithmetic shift_right_logical sign sine sqrt subtract tan tanh xor
    dynamic_update_slice cholesky
""".split()

_RULES: dict[str, _Rule] = {
    **{f"stablehlo.{name}": _operand(0) for name in _BY_ELEMENT},
    **{f"stablehlo.{name}": _own_operand for name in ("optimization_barrier", "scatter", "sort", "while")},
    "stablehlo.bitcast_convert": _as_bits,
    "stablehlo.case": _branch,
    "stablehlo.clamp": _operand(1),
    "stablehlo.concatenate": _joined,
    "stablehlo.convolution": _convolved,
    "stablehlo.dot_general": _product,
    "stablehlo.dynamic_broadcast_in_dim": _vector(1),
    "stablehlo.dynamic_gather": _gathered,
    "stablehlo.dynamic_iota": _vector(0),
    "stablehlo.dynamic_pad": _padded_at_call,
    "stablehlo.dynamic_reshape": _vector(1),
    "stablehlo.gather": _gathered,
    "stablehlo.if": _branch,
    "stablehlo.pad": _padded,
    "stablehlo.real_dynamic_slice": _sliced,
    "stablehlo.reduce": _reduced,
    "stablehlo.reduce_window": _windowed,
    "stablehlo.select": _operand(1),
    "stablehlo.torch_index_select": _selected,
    "stablehlo.transpose": _transposed,
}
