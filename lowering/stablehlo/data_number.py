"""A Python number that only the data tells: `DataNumber` stands for it in rules, as a 0-d tensor.

Rules compute with it as with an int, a float or a bool, and make constants of it. A rule that asks for the
number itself cannot have it: the node is Unsupported.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add, mul, sub, truediv
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from lowering.ir.types import DType
from lowering.stablehlo.errors import Unsupported

if TYPE_CHECKING:
    from lowering.stablehlo.value import Value

_CLASSES: dict[DType, type] = {DType.INT64: int, DType.FLOAT64: float, DType.BOOL: bool}


class DataNumber:
    """`value`: a 0-d tensor of int64, float64 or bool, which says whether it is an int, a float or a bool.

    `isinstance` says so too: rules tell numbers from tensors by it.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        assert value.dtype in _CLASSES
        assert not value.rank
        self.value = value

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _CLASSES[self.value.dtype]

    def _combined(self, other: Any, combine: Callable[[Any, Any], Any], swap: bool = False) -> Any:
        own, theirs = self.value, other.value if is_data_number(other) else other
        if own.dtype is DType.BOOL or (own.dtype is DType.INT64 and type(other) not in (int, DataNumber)):
            self._refuse()
        if is_data_number(other) and other.value.dtype is not own.dtype:
            self._refuse()
        return DataNumber(combine(theirs, own) if swap else combine(own, theirs))

    def __add__(self, other: Any) -> Any:
        return self._combined(other, add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, sub)

    def __rsub__(self, other: Any) -> Any:
        return self._combined(other, sub, swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._combined(other, mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._combined(other, truediv) if isinstance(self, float) else self._refuse()

    def __rtruediv__(self, other: Any) -> Any:
        return self._combined(other, truediv, swap=True) if isinstance(self, float) else self._refuse()

    def __neg__(self) -> Any:
        return self._combined(-1, mul)

    def __pos__(self) -> Any:
        return self

    def _refuse(self, *_: Any) -> NoReturn:
        raise Unsupported("its rule needs a number before the call that only the data tells")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __bool__ = __int__ = __index__ = __float__ = __complex__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
    __hash__ = _refuse  # pyright: ignore[reportAssignmentType]
    __and__ = __rand__ = __or__ = __ror__ = __lshift__ = __rshift__ = __abs__ = _refuse

    def __repr__(self) -> str:
        return f"a {self.__class__.__name__} from the data"


def is_data_number(value: object) -> TypeGuard[DataNumber]:
    """Whether only the data tells a number. `isinstance` cannot say: such a number poses as a plain one."""
    return type(value) is DataNumber
