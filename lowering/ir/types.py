"""The types of values: dtypes, devices, tensors with symbolic sizes, symbolic scalars, opaque objects.

Everything here is frozen and hashable, and imports the standard library alone. So the runtime may use it in a
process without torch and jax.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

from lowering.ir.symbols import Dim, Expr


class DType(Enum):
    """An element type; its row is all that is needed to read, keep, lower and run tensors of it.

    A row has torch's name, which numpy, ml_dtypes and `DType("float32")` share, and `itemsize`, in bytes.
    `code` is torch's number in a file, `scalar_type` torch's number in a schema (c10::ScalarType). `mlir` is
    the spelling in MLIR, None where StableHLO lacks the type.
    """

    _value_: str
    itemsize: int
    code: int
    scalar_type: int
    mlir: str | None

    def __new__(cls, name: str, itemsize: int, code: int, scalar_type: int, mlir: str | None) -> DType:
        self = object.__new__(cls)
        self._value_ = name
        self.itemsize, self.code, self.scalar_type, self.mlir = itemsize, code, scalar_type, mlir
        return self

    UINT8 = "uint8", 1, 1, 0, "ui8"
    UINT16 = "uint16", 2, 28, 27, "ui16"
    UINT32 = "uint32", 4, 34, 28, "ui32"
    UINT64 = "uint64", 8, 35, 29, "ui64"
    INT8 = "int8", 1, 2, 1, "i8"
    INT16 = "int16", 2, 3, 2, "i16"
    INT32 = "int32", 4, 4, 3, "i32"
    INT64 = "int64", 8, 5, 4, "i64"
    BOOL = "bool", 1, 12, 11, "i1"
    FLOAT16 = "float16", 2, 6, 5, "f16"
    BFLOAT16 = "bfloat16", 2, 13, 15, "bf16"
    FLOAT32 = "float32", 4, 7, 6, "f32"
    FLOAT64 = "float64", 8, 8, 7, "f64"
    COMPLEX32 = "complex32", 4, 9, 8, None
    COMPLEX64 = "complex64", 8, 10, 9, "complex<f32>"
    COMPLEX128 = "complex128", 16, 11, 10, "complex<f64>"
    FLOAT8_E4M3FN = "float8_e4m3fn", 1, 29, 24, "f8E4M3FN"
    FLOAT8_E5M2 = "float8_e5m2", 1, 30, 23, "f8E5M2"
    FLOAT8_E4M3FNUZ = "float8_e4m3fnuz", 1, 31, 26, "f8E4M3FNUZ"
    FLOAT8_E5M2FNUZ = "float8_e5m2fnuz", 1, 32, 25, "f8E5M2FNUZ"
    FLOAT8_E8M0FNU = "float8_e8m0fnu", 1, 33, 44, "f8E8M0FNU"

    @property
    def is_complex(self) -> bool:
        return self.value.startswith("complex")

    @property
    def is_floating(self) -> bool:
        """Real floating point (complex types are not)."""
        return "float" in self.value

    @property
    def is_integer(self) -> bool:
        """Signed or unsigned integer (bool is not)."""
        return self.value.startswith(("int", "uint"))

    @property
    def is_signed(self) -> bool:
        return not self.value.startswith("uint") and self is not DType.BOOL

    @property
    def is_half(self) -> bool:
        """Computed in float32 by eager, element by element, and rounded once."""
        return self in (DType.FLOAT16, DType.BFLOAT16)

    def __repr__(self) -> str:
        return f"DType.{self.name}"

    def __str__(self) -> str:
        return self.value


class Layout(Enum):
    """torch.layout."""

    STRIDED = "strided"
    SPARSE_COO = "sparse_coo"
    SPARSE_CSR = "sparse_csr"
    SPARSE_CSC = "sparse_csc"
    SPARSE_BSR = "sparse_bsr"
    SPARSE_BSC = "sparse_bsc"
    MKLDNN = "_mkldnn"


class MemoryFormat(Enum):
    """torch.memory_format."""

    CONTIGUOUS = "contiguous_format"
    CHANNELS_LAST = "channels_last"
    CHANNELS_LAST_3D = "channels_last_3d"
    PRESERVE = "preserve_format"


@dataclass(frozen=True, slots=True)
class Device:
    """torch.device: a type (`cpu`, `cuda`, `meta`) and an index."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device("cpu")


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's type. Sizes, strides (in elements) and storage offset may be symbolic expressions."""

    dtype: DType
    sizes: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim = 0
    device: Device = CPU
    layout: Layout = Layout.STRIDED
    requires_grad: bool = False

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def is_static(self) -> bool:
        """Whether every size is an integer."""
        return all(isinstance(size, int) for size in self.sizes)


class SymKind(Enum):
    """Which Python type a symbolic scalar has."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"

    @property
    def element(self) -> DType:
        """The element type of a tensor of such a number: Python's floats are float64, its integers have no
        end."""
        return {SymKind.INT: DType.INT64, SymKind.FLOAT: DType.FLOAT64}.get(self, DType.BOOL)


@dataclass(frozen=True, slots=True)
class SymType:
    """A Python scalar known only when the program runs, and its term over the symbols.

    `value` is a literal where the exporter knew it.
    """

    kind: SymKind
    value: Expr | int | float | bool


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A script object (`torch.classes...`): opaque, ATen only."""

    class_name: str


@dataclass(frozen=True, slots=True)
class TokenType:
    """An effect token, which orders side effects."""


ValueType = TensorType | SymType | ObjectType | TokenType


def view_nbytes(dtype: DType, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int) -> int:
    """How many bytes of its storage a view reaches over; 0 for an empty one."""
    if 0 in sizes:
        return 0
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return (last + 1) * dtype.itemsize


def contiguous_strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, in elements, of a tensor of these sizes (a size of 0 counts as 1, as in torch)."""
    return tuple(prod(max(size, 1) for size in sizes[axis + 1 :]) for axis in range(len(sizes)))


def contiguous(dtype: DType, sizes: tuple[int, ...], device: Device = CPU) -> TensorType:
    """The type of a freshly made row-major tensor."""
    return TensorType(dtype, sizes, contiguous_strides(sizes), device=device)
