"""`Value`: an SSA value of the StableHLO module being built, with operators for readable rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, cast

import numpy as np

from lowering.host import tensors
from lowering.ir.types import DType
from lowering.stablehlo.data_number import DataNumber, is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import dense, dtype_of, element_type, ir, stablehlo
from lowering.stablehlo.size_questions import are_equal, same
from lowering.stablehlo.size_values import read_size, size_value, sizes_tensor
from lowering.stablehlo.symbolic import Specialised, SymbolicSize, any_symbolic, is_symbolic

Scalar = bool | int | float | complex
Shape = tuple[int, ...]


_finders: ContextVar[Callable[[ir.Value], Iterable[int]] | None] = ContextVar("finders", default=None)


@contextmanager
def recovering(find: Callable[[ir.Value], Iterable[int]]) -> Iterator[None]:
    """Inside, shapes that types do not say are found so."""
    token = _finders.set(find)
    try:
        yield
    finally:
        _finders.reset(token)


def _recovered(value: ir.Value) -> Iterable[int]:
    find = _finders.get()
    if find is None:
        raise Specialised(f"the sizes of a result are lost: {value.type}")
    return find(value)


class Value:
    """A tensor in the module being built. `dtype` and `shape` are read off its MLIR type.

    A type with sizes that are known only at the call does not say which these are: then `shape` is given, or
    found by whoever is `recovering`.

    Operators (`+ - * / ** -x`, `& | ^ ~` on bool and integers) take Values of the same dtype or Python
    scalars, which become constants of that dtype, and broadcast shapes as NumPy does. Nothing is promoted:
    operands of different dtypes are a bug in the rule. `/` truncates integers, as `stablehlo.divide` does.
    """

    __slots__ = ("dtype", "ir", "shape")

    def __init__(self, value: ir.Value, shape: Iterable[int] | None = None) -> None:
        self.ir = value
        type_ = ir.RankedTensorType(value.type)
        self.dtype = dtype_of(type_.element_type)
        if not type_.has_static_shape:
            self.shape: Shape = tuple(_recovered(value) if shape is None else shape)
            return
        self.shape = tuple(type_.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)}>"

    def __add__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.add, self, other)

    def __radd__(self, other: Scalar) -> Value:
        return binary(stablehlo.add, other, self)

    def __sub__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.subtract, self, other)

    def __rsub__(self, other: Scalar) -> Value:
        return binary(stablehlo.subtract, other, self)

    def __mul__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.multiply, self, other)

    def __rmul__(self, other: Scalar) -> Value:
        return binary(stablehlo.multiply, other, self)

    def __truediv__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.divide, self, other)

    def __rtruediv__(self, other: Scalar) -> Value:
        return binary(stablehlo.divide, other, self)

    def __pow__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.power, self, other)

    def __and__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.and_, self, other)

    def __or__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.or_, self, other)

    def __xor__(self, other: Value | Scalar) -> Value:
        return binary(stablehlo.xor, self, other)

    def __neg__(self) -> Value:
        return Value(stablehlo.negate(self.ir), self.shape)

    def __invert__(self) -> Value:
        return Value(stablehlo.not_(self.ir), self.shape)

    # Comparisons give bool Values, so `==` is not identity here and a Value has no hash.
    def __lt__(self, other: Value | Scalar) -> Value:
        return compare(self, other, "LT")

    def __le__(self, other: Value | Scalar) -> Value:
        return compare(self, other, "LE")

    def __gt__(self, other: Value | Scalar) -> Value:
        return compare(self, other, "GT")

    def __ge__(self, other: Value | Scalar) -> Value:
        return compare(self, other, "GE")

    def __eq__(self, other: object) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        return compare(self, other, "EQ")  # pyright: ignore[reportArgumentType]

    def __ne__(self, other: object) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        return compare(self, other, "NE")  # pyright: ignore[reportArgumentType]

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def numpy_dtype(dtype: DType) -> np.dtype:
    """The numpy dtype with the same bits (ml_dtypes for bfloat16 and float8)."""
    try:
        return tensors.numpy_dtype(dtype)
    except TypeError:
        raise Unsupported(f"numpy and StableHLO have no {dtype}") from None


def tensor_type(dtype: DType, shape: Shape) -> ir.RankedTensorType:
    """The MLIR type `tensor<...>`; Unsupported where StableHLO has no such element type."""
    element = element_type(dtype)
    if element is None:
        raise Unsupported(f"StableHLO has no {dtype}")
    if any_symbolic(shape):
        shape = tuple(_DYNAMIC if is_symbolic(size) else size for size in shape)
    return ir.RankedTensorType.get(shape, element)


_DYNAMIC = ir.ShapedType.get_dynamic_size()


def array(data: np.ndarray) -> Value:
    """A constant tensor holding these elements, whose dtype is the array's."""
    return Value(stablehlo.constant(dense(data, tensor_type(DType(data.dtype.name), data.shape))))


def constant(value: Scalar, dtype: DType, shape: Shape = ()) -> Value:
    """A tensor full of one scalar, rounded to `dtype` once.

    Integers out of the range of an integer `dtype` wrap around, as in torch. A size that is known only at the
    call is read then, and a number that only the data tells is converted.
    """
    if is_data_number(value):
        return broadcast(_from_data(value, dtype), shape)
    if is_symbolic(value):
        read = Value(size_value(cast(SymbolicSize, value)))
        return broadcast(converted(read, dtype), shape)
    if dtype.is_integer and isinstance(value, int):
        bits = 8 * dtype.itemsize
        value = int(value) & (1 << bits) - 1
        if dtype.is_signed and value >> bits - 1:
            value -= 1 << bits
    with np.errstate(over="ignore", invalid="ignore"):
        scalar = np.asarray(value).astype(numpy_dtype(dtype))
    result = Value(stablehlo.constant(dense(scalar, tensor_type(dtype, ()))))
    return broadcast(result, shape)


def _from_data(number: DataNumber, dtype: DType) -> Value:
    """A number as eager converts a Python number: to a type of fewer than 32 bits through float32."""
    value = number.value
    if dtype.is_complex or (value.dtype is DType.FLOAT64 and not dtype.is_floating):
        raise Unsupported(f"a {value.dtype} from the data would become a {dtype}")
    if dtype is DType.BOOL and value.dtype is not DType.BOOL:
        return compare(value, 0, "NE")
    if dtype.is_floating and dtype.itemsize < 4:
        value = converted(value, DType.FLOAT32)
    return converted(value, dtype)


def broadcast_in_dim(value: Value, shape: Shape, dims: tuple[int, ...]) -> Value:
    """Place axis i of `value` at axis `dims[i]` of `shape`; axes of size 1 stretch."""
    if same(value.shape, shape) and dims == tuple(range(len(shape))):
        return value
    if any_symbolic(shape) or any_symbolic(value.shape):
        return _stretched(value, shape, dims)
    return Value(stablehlo.broadcast_in_dim(tensor_type(value.dtype, shape), value.ir, dims))


def _stretched(value: Value, shape: Shape, dims: tuple[int, ...]) -> Value:
    kept = [axis for axis, to in enumerate(dims) if are_equal((value.shape[axis],), (shape[to],))]
    wide = [axis for axis in range(len(dims)) if axis not in kept]
    return Value(
        stablehlo.dynamic_broadcast_in_dim(
            tensor_type(value.dtype, shape),
            value.ir,
            sizes_tensor(shape),
            list(dims),
            known_expanding_dimensions=wide,
            known_nonexpanding_dimensions=kept,
        ),
        shape,
    )


def broadcast(value: Value, shape: Shape) -> Value:
    """Broadcast as NumPy does: trailing axes align, axes of size 1 stretch."""
    if same(value.shape, shape):
        return value
    offset = len(shape) - len(value.shape)
    return broadcast_in_dim(value, shape, tuple(range(offset, len(shape))))


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The NumPy-broadcast shape of several."""
    if any(map(any_symbolic, shapes)):
        rank = max(map(len, shapes))
        return tuple(
            _common([shape[axis] for shape in shapes if len(shape) >= -axis]) for axis in range(-rank, 0)
        )
    return tuple(int(size) for size in np.broadcast_shapes(*shapes))


def _common(sizes: Sequence[int]) -> int:
    """The size to which these stretch, of which each is it or 1."""
    result = 1
    for size in sizes:
        if size == 1 or (result != 1 and are_equal((result,), (size,))):
            continue
        if result != 1:
            raise ValueError(f"sizes {result} and {size} do not broadcast")
        result = size
    return result


def _pair(lhs: Value | Scalar, rhs: Value | Scalar) -> tuple[Value, Value]:
    if not isinstance(lhs, Value):
        assert isinstance(rhs, Value)
        lhs = constant(lhs, rhs.dtype, rhs.shape)
    if not isinstance(rhs, Value):
        rhs = constant(rhs, lhs.dtype, lhs.shape)
    if not same(lhs.shape, rhs.shape):
        shape = broadcast_shapes(lhs.shape, rhs.shape)
        lhs, rhs = broadcast(lhs, shape), broadcast(rhs, shape)
    if lhs.dtype is not rhs.dtype:
        raise TypeError(f"operands of {lhs.dtype} and {rhs.dtype}: a rule converts before it combines")
    return lhs, rhs


def binary(op: Callable[..., ir.Value], lhs: Value | Scalar, rhs: Value | Scalar) -> Value:
    """Apply a StableHLO binary operation after broadcasting."""
    left, right = _pair(lhs, rhs)
    return Value(op(left.ir, right.ir), left.shape)


_DIRECTIONS: dict[str, str] = {name: f"#stablehlo<comparison_direction {name}>" for name in
                               ("EQ", "NE", "LT", "LE", "GT", "GE")}  # fmt: skip


def compare(lhs: Value | Scalar, rhs: Value | Scalar, direction: str) -> Value:
    """Compare element by element, to bool: `EQ NE LT LE GT GE`. NaN is unequal to everything (IEEE 754)."""
    left, right = _pair(lhs, rhs)
    return Value(stablehlo.compare(left.ir, right.ir, ir.Attribute.parse(_DIRECTIONS[direction])), left.shape)


def select(predicate: Value, on_true: Value | Scalar, on_false: Value | Scalar) -> Value:
    """`predicate ? on_true : on_false`, all three broadcast; at least one branch is a Value."""
    if not isinstance(on_true, Value):
        assert isinstance(on_false, Value)
        on_true = constant(on_true, on_false.dtype)
    if not isinstance(on_false, Value):
        on_false = constant(on_false, on_true.dtype)
    shape = broadcast_shapes(predicate.shape, on_true.shape, on_false.shape)
    chosen, left, right = (broadcast(v, shape) for v in (predicate, on_true, on_false))
    return Value(stablehlo.select(chosen.ir, left.ir, right.ir), shape)


def converted(value: Value, dtype: DType) -> Value:
    """`stablehlo.convert` as it is: NaN and overflow of integers are as the implementation likes."""
    if value.dtype is dtype:
        return value
    return Value(stablehlo.convert(tensor_type(dtype, value.shape), value.ir), value.shape)


def bitcast(value: Value, dtype: DType) -> Value:
    """The same bits as a type of the same width."""
    return Value(stablehlo.bitcast_convert(tensor_type(dtype, value.shape), value.ir), value.shape)


def shown_size(value: Value, axis: int, offset: int, step: int) -> ir.Value:
    """The symbol that the size of an axis shows as `offset + step * symbol`, a 0-d tensor of int64."""
    size = Value(read_size(value.ir, axis))
    size = size - offset if offset else size
    return (size / step if step != 1 else size).ir


def types_text(types: Iterable[tuple[DType, Iterable[Any]]]) -> str:
    """Types of tensors as a message names them."""
    return ", ".join(f"{dtype}{list(shape)}" for dtype, shape in types) or "nothing"
