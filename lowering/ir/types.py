"""The types of values: dtypes, devices, tensors with symbolic sizes, symbolic scalars, opaque objects.

Everything here is frozen and hashable, and imports nothing but the standard library, so that the runtime
may use it in a process that has neither torch nor jax.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

from lowering.ir.symbols import Dim, Expr


class DType(Enum):
    """An element type, by torch's name. `DType("float32")` looks one up."""

    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    COMPLEX32 = "complex32"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"
    FLOAT8_E4M3FNUZ = "float8_e4m3fnuz"
    FLOAT8_E5M2FNUZ = "float8_e5m2fnuz"
    FLOAT8_E8M0FNU = "float8_e8m0fnu"

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return _ITEMSIZE[self]

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


_ITEMSIZE = {
    **dict.fromkeys((DType.UINT8, DType.INT8, DType.BOOL), 1),
    **{t: 1 for t in DType if t.value.startswith("float8")},
    **dict.fromkeys((DType.UINT16, DType.INT16, DType.FLOAT16, DType.BFLOAT16), 2),
    **dict.fromkeys((DType.UINT32, DType.INT32, DType.FLOAT32, DType.COMPLEX32), 4),
    **dict.fromkeys((DType.UINT64, DType.INT64, DType.FLOAT64, DType.COMPLEX64), 8),
    DType.COMPLEX128: 16,
}


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


@dataclass(frozen=True, slots=True)
class SymType:
    """A Python scalar known only when the program runs, and what it is in terms of the symbols.

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


def contiguous_strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, in elements, of a tensor of these sizes (a size of 0 counts as 1, as in torch)."""
    return tuple(prod(max(size, 1) for size in sizes[axis + 1 :]) for axis in range(len(sizes)))


def contiguous(dtype: DType, sizes: tuple[int, ...], device: Device = CPU) -> TensorType:
    """The type of a freshly made row-major tensor."""
    return TensorType(dtype, sizes, contiguous_strides(sizes), device=device)
