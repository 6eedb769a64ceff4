"""How each operator's result lies in its argument: a rule per operator, over the recorded types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from lowering.ir.aten import targets
from lowering.ir.dims import all_equal, equal, is_row_major, product, view_strides
from lowering.ir.program import Arg, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import MemoryFormat, TensorType


class Form(Enum):
    """How a view selects and arranges the elements of its source; in parentheses what `View.data` holds."""

    IDENTITY = "identity"
    RESHAPE = "reshape"
    PERMUTE = "permute"  # (the source's axis of each axis)
    SELECT = "select"  # (axis, index)
    SLICE = "slice"  # (axis, start, end, step)
    NARROW = "narrow"  # (axis, start, length), of which only a call may tell the start, and its sign
    DIAGONAL = "diagonal"  # (offset, axis 1, axis 2)
    AS_STRIDED = "as_strided"  # (sizes, strides, offset)
    BITCAST = "bitcast"  # another dtype over the same bits
    VIEW_AS_REAL = "view_as_real"
    VIEW_AS_COMPLEX = "view_as_complex"
    REAL = "real"
    IMAG = "imag"
    CONJUGATE = "conjugate"
    NEGATIVE = "negative"
    ONE_WAY = "one_way"  # a view that cannot be written through: elements repeat, or the inverse is unknown


# A form and its data, True for a view in doubt, or None for a copy.
Shape = tuple[Form, tuple[Arg, ...]] | bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """One tensor result of a call, with what decides its relation to its source."""

    target: str
    bound: Mapping[str, Arg]
    source: TensorType
    result: TensorType
    position: int
    siblings: tuple[TensorType, ...]

    def dim(self, name: str, rank: int | None = None) -> int:
        value = self.bound[name]
        rank = max(self.source.rank if rank is None else rank, 1)
        if not isinstance(value, int):
            raise NotLiteral
        return value % rank


class NotLiteral(Exception):
    """An argument that should be an integer literal is not."""


_IDENTITY: Shape = (Form.IDENTITY, ())
_RESHAPE: Shape = (Form.RESHAPE, ())
_ONE_WAY: Shape = (Form.ONE_WAY, ())


def _always(shape: Shape) -> Callable[[Call], Shape]:
    return lambda call: shape


def _view(call: Call) -> Shape:
    if call.target == "aten.view.dtype":
        return Form.BITCAST, ()
    return _RESHAPE


def _reshape(call: Call) -> Shape:
    strides = view_strides(call.source, call.result.sizes)
    return True if strides is None else None if strides is False else _RESHAPE


def _ravel(call: Call) -> Shape:
    contiguous = is_row_major(call.source)
    return True if contiguous is None else _RESHAPE if contiguous else None


def _same_layout(call: Call) -> bool | None:
    return all_equal(call.source.strides, call.result.strides)


def _contiguous(call: Call) -> Shape:
    if call.bound["memory_format"] is not MemoryFormat.CONTIGUOUS:
        return _IDENTITY if _same_layout(call) else None if _same_layout(call) is False else True
    contiguous = is_row_major(call.source)
    return True if contiguous is None else _IDENTITY if contiguous else None


def _to(call: Call) -> Shape:
    """`to` and its kin return their argument if there is nothing to convert."""
    source, result = call.source, call.result
    if call.bound.get("copy") is True:
        return None
    if (source.dtype, source.device, source.layout) != (result.dtype, result.device, result.layout):
        return None
    if call.bound.get("memory_format") in (None, MemoryFormat.PRESERVE) or _same_layout(call):
        return _IDENTITY
    return None if _same_layout(call) is False else True


def _dropout(call: Call) -> Shape:
    return _IDENTITY if call.bound["train"] is False or call.bound["p"] == 0 else None


def _real_only(complex_shape: Shape) -> Callable[[Call], Shape]:
    return lambda call: complex_shape if call.source.dtype.is_complex else _IDENTITY


def _same_sizes(call: Call) -> Shape:
    same = all_equal(call.source.sizes, call.result.sizes)
    return True if same is None else _IDENTITY if same else None


def _expand(call: Call) -> Shape:
    same = equal(product(call.source.sizes), product(call.result.sizes))
    return _RESHAPE if same and 0 not in call.source.sizes else _ONE_WAY


def _permutation(axes: Callable[[Call], list[int]]) -> Callable[[Call], Shape]:
    return lambda call: (Form.PERMUTE, (tuple(axes(call)),))


def _swap(rank: int, a: int, b: int) -> list[int]:
    axes = list(range(rank))
    if rank:
        axes[a], axes[b] = axes[b], axes[a]
    return axes


def _transpose(call: Call) -> list[int]:
    names = ("axis0", "axis1") if "axis0" in call.bound else ("dim0", "dim1")
    return _swap(call.source.rank, call.dim(names[0]), call.dim(names[1]))


def _permute(name: str) -> Callable[[Call], list[int]]:
    def axes(call: Call) -> list[int]:
        dims = call.bound[name]
        if not isinstance(dims, tuple):
            raise NotLiteral
        return [integer(dim) % call.source.rank for dim in dims]

    return axes


def _movedim(call: Call) -> list[int]:
    rank = max(call.source.rank, 1)
    given = [call.bound["source"], call.bound["destination"]]
    sources, destinations = (
        [integer(item) % rank for item in (value if isinstance(value, tuple) else (value,))]
        for value in given
    )
    rest = iter(axis for axis in range(call.source.rank) if axis not in sources)
    placed = dict(zip(destinations, sources, strict=True))
    return [placed[axis] if axis in placed else next(rest) for axis in range(call.source.rank)]


def integer(value: Arg | Dim) -> int:
    """An argument that has to be a literal. Raises NotLiteral where it is not."""
    if not isinstance(value, int):
        raise NotLiteral
    return value


def _adjoint(call: Call) -> Shape:
    if call.source.dtype.is_complex:
        return _ONE_WAY
    return Form.PERMUTE, (tuple(_swap(call.source.rank, -2, -1) if call.source.rank >= 2 else ()),)


def _select(call: Call) -> Shape:
    return Form.SELECT, (call.dim("dim"), call.bound["index"])


def _slice(call: Call) -> Shape:
    return Form.SLICE, tuple(call.bound[name] for name in ("dim", "start", "end", "step"))


def _narrow(call: Call) -> Shape:
    dim, start = call.dim("dim"), call.bound["start"]
    size, length = call.source.sizes[dim], call.result.sizes[dim]
    if isinstance(start, int) and isinstance(size, int) and isinstance(length, int):
        start = start + size if start < 0 else start
        return Form.SLICE, (dim, start, start + length, 1)
    if not isinstance(start, int | Ref):
        raise NotLiteral
    return Form.NARROW, (dim, start, call.bound["length"])


def _unbind(call: Call) -> Shape:
    return Form.SELECT, (call.dim("dim"), call.position)


def _split(axis: Callable[[Call], int]) -> Callable[[Call], Shape]:
    def rule(call: Call) -> Shape:
        dim = axis(call)
        lengths = [integer(type_.sizes[dim]) for type_ in call.siblings[: call.position + 1]]
        return Form.SLICE, (dim, sum(lengths[:-1]), sum(lengths), 1)

    return rule


def _diagonal(call: Call) -> Shape:
    return Form.DIAGONAL, (call.bound["offset"], call.dim("dim1"), call.dim("dim2"))


def _as_strided(call: Call) -> Shape:
    return Form.AS_STRIDED, tuple(call.bound[name] for name in ("size", "stride", "storage_offset"))


# By operator of ATen: a rule holds for all of its overloads that torch has.
_ATEN: dict[str, Callable[[Call], Shape]] = {
    **dict.fromkeys(("detach", "alias", "lift", "lift_fresh", "data", "positive"), _always(_IDENTITY)),
    **dict.fromkeys(("unflatten", "squeeze", "unsqueeze", "view_as", "_unsafe_view"), _always(_RESHAPE)),
    **dict.fromkeys(("atleast_1d", "atleast_2d", "atleast_3d", "_reshape_alias"), _always(_RESHAPE)),
    "view": _view,
    **dict.fromkeys(("reshape", "reshape_as", "flatten"), _reshape),
    "ravel": _ravel,
    "contiguous": _contiguous,
    **dict.fromkeys(("to", "to_dense", "type_as", "dequantize", "chalf", "_to_cpu"), _to),
    **dict.fromkeys(("_autocast_to_full_precision", "_autocast_to_reduced_precision"), _to),
    **{f"_cast_{name}": _to for name in ("Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")},
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"), _dropout),
    "real": _real_only((Form.REAL, ())),
    "imag": _always((Form.IMAG, ())),
    **dict.fromkeys(("conj", "_conj"), _real_only((Form.CONJUGATE, ()))),
    # Whether the lazy conjugation is pending is not recorded: the result is either its argument or a copy.
    **dict.fromkeys(("resolve_conj", "conj_physical"), _real_only(True)),
    "resolve_neg": _real_only(True),
    "_neg_view": _always((Form.NEGATIVE, ())),
    "view_as_real": _always((Form.VIEW_AS_REAL, ())),
    "view_as_complex": _always((Form.VIEW_AS_COMPLEX, ())),
    "sum_to_size": _same_sizes,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to", "broadcast_tensors", "meshgrid"), _expand),
    "permute": _permutation(_permute("dims")),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _permutation(_transpose)),
    **dict.fromkeys(("movedim", "moveaxis"), _permutation(_movedim)),
    "numpy_T": _permutation(lambda call: list(range(call.source.rank))[::-1]),
    "t": _permutation(lambda call: list(range(call.source.rank))[::-1]),
    "mT": _permutation(lambda call: _swap(call.source.rank, -2, -1)),
    **dict.fromkeys(("mH", "adjoint", "matrix_H"), _adjoint),
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "unbind": _unbind,
    **dict.fromkeys(
        ("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "unsafe_chunk"),
        _split(lambda call: call.dim("dim")),
    ),
    "tensor_split": _split(lambda call: call.dim("dim")),
    "hsplit": _split(lambda call: 0 if call.source.rank == 1 else 1),
    "vsplit": _split(lambda call: 0),
    "dsplit": _split(lambda call: 2),
    "diagonal": _diagonal,
    "as_strided": _as_strided,
    "unfold": _always(_ONE_WAY),
    "linalg_diagonal": _always(_ONE_WAY),
}
_PRIMS: dict[str, Callable[[Call], Shape]] = {
    "view_of": _always(_IDENTITY),
    "view_of_dtype": _always((Form.BITCAST, ())),
    **dict.fromkeys(("collapse_view", "split_dim", "squeeze"), _always(_RESHAPE)),
    "broadcast_in_dim": _expand,
    "transpose": _permutation(_permute("permutation")),
    "conj": _real_only((Form.CONJUGATE, ())),
    "real": _real_only((Form.REAL, ())),
    "imag": _always((Form.IMAG, ())),
    "as_strided": _as_strided,
}


@cache
def rules() -> dict[str, Callable[[Call], Shape]]:
    """By exact overload: another package's operator of the same name may do anything."""
    found: dict[str, Callable[[Call], Shape]] = {}
    for namespace, by_name in (("aten", _ATEN), ("prims", _PRIMS)):
        for target in targets(namespace):
            rule = by_name.get(target.split(".")[1])
            if rule is not None:
                found[target] = rule
    return found
