"""Which results are views of which arguments, and in what way.

Schemas say that `reshape`, `contiguous` or `to` may return a view. The recorded sizes and strides decide it
here, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from lowering.ir.aten import OpSchema, targets
from lowering.ir.dims import all_equal, equal, is_row_major, product, row_major, view_strides
from lowering.ir.program import Arg, Node, Ref
from lowering.ir.symbols import Apply, Dim
from lowering.ir.types import MemoryFormat, TensorType, ValueType


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


@dataclass(frozen=True, slots=True)
class View:
    """A result that shares its elements with `source`."""

    source: str
    form: Form
    data: tuple[Arg, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A result that may or may not share elements with `sources`; the recorded types do not decide it."""

    sources: tuple[str, ...]


Relation = View | Doubt | None
# A form and its data, True for a view in doubt, or None for a copy.
_Shape = tuple[Form, tuple[Arg, ...]] | bool | None


@dataclass(frozen=True, slots=True)
class _Call:
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
            raise _Unknown
        return value % rank


class _Unknown(Exception):
    """An argument that should be an integer literal is not."""


def relations(
    node: Node, schema: OpSchema, bound: Mapping[str, Arg], values: Mapping[str, ValueType]
) -> dict[str, View | Doubt]:
    """The results of a call, written ones aside, that are or may be views of its arguments.

    `bound`: the arguments by name, as `OpSchema.bind` gives them. A result that is absent from the answer is
    a copy.
    """
    found: dict[str, View | Doubt] = {}
    for index, output in enumerate(node.outputs[: len(schema.returns)]):
        sources = () if schema.returns[index].writes else schema.aliased(index)
        if not sources or output is None:
            continue
        names = (output,) if isinstance(output, str) else output
        for position, name in enumerate(names):
            if name is not None:
                relation = _relation(node, bound, bound[sources[0]], names, position, values)
                if relation is not None:
                    found[name] = relation
    return found


def _relation(
    node: Node,
    bound: Mapping[str, Arg],
    source: Arg,
    names: tuple[str | None, ...],
    position: int,
    values: Mapping[str, ValueType],
) -> Relation:
    refs = (source,) if isinstance(source, Ref) else source if isinstance(source, tuple) else ()
    if node.target in _ELEMENTWISE_LISTS and isinstance(source, tuple):
        refs = refs[position : position + 1]
    elif isinstance(source, tuple) and len(refs) > 1:
        # einsum and cartesian_prod of several operands multiply or concatenate; the rest is not decided here.
        return None if node.target in _JOINS else _doubt(refs)
    if len(refs) != 1 or not isinstance(refs[0], Ref):
        return _doubt(refs) if refs else None
    name = names[position]
    types = [values.get(refs[0].name), *(values.get(item or "") for item in (name, *names))]
    tensors = [type_ for type_ in types if isinstance(type_, TensorType)]
    if len(tensors) != len(types):
        return None
    call = _Call(node.target, bound, tensors[0], tensors[1], position, tuple(tensors[2:]))
    rule = _rules().get(node.target)
    try:
        shape = True if rule is None else rule(call)
    except _Unknown:
        return View(refs[0].name, Form.ONE_WAY)
    except IndexError:  # an axis that the types do not have: the types of a file are only claimed
        return _doubt(refs)
    if shape is True:
        return _doubt(refs)
    return View(refs[0].name, *shape) if shape else None


def _doubt(refs: tuple[Arg, ...]) -> Doubt:
    return Doubt(tuple(ref.name for ref in refs if isinstance(ref, Ref)))


_IDENTITY: _Shape = (Form.IDENTITY, ())
_RESHAPE: _Shape = (Form.RESHAPE, ())
_ONE_WAY: _Shape = (Form.ONE_WAY, ())
_ELEMENTWISE_LISTS = frozenset(
    (
        *("aten.broadcast_tensors.default", "aten.meshgrid.default", "aten.meshgrid.indexing"),
        *("aten.atleast_1d.Sequence", "aten.atleast_2d.Sequence", "aten.atleast_3d.Sequence"),
        "aten._to_cpu.default",
    )
)
_JOINS = frozenset(
    ("aten.einsum.default", "aten.cartesian_prod.default", "aten.flatten_dense_tensors.default")
)


def _always(shape: _Shape) -> Callable[[_Call], _Shape]:
    return lambda call: shape


def _view(call: _Call) -> _Shape:
    if call.target == "aten.view.dtype":
        return Form.BITCAST, ()
    return _RESHAPE


def _reshape(call: _Call) -> _Shape:
    strides = view_strides(call.source, call.result.sizes)
    return True if strides is None else None if strides is False else _RESHAPE


def _ravel(call: _Call) -> _Shape:
    contiguous = is_row_major(call.source)
    return True if contiguous is None else _RESHAPE if contiguous else None


def _same_layout(call: _Call) -> bool | None:
    return all_equal(call.source.strides, call.result.strides)


def _contiguous(call: _Call) -> _Shape:
    if call.bound["memory_format"] is not MemoryFormat.CONTIGUOUS:
        return _IDENTITY if _same_layout(call) else None if _same_layout(call) is False else True
    contiguous = is_row_major(call.source)
    return True if contiguous is None else _IDENTITY if contiguous else None


def _to(call: _Call) -> _Shape:
    """`to` and its kin return their argument if there is nothing to convert."""
    source, result = call.source, call.result
    if call.bound.get("copy") is True:
        return None
    if (source.dtype, source.device, source.layout) != (result.dtype, result.device, result.layout):
        return None
    if call.bound.get("memory_format") in (None, MemoryFormat.PRESERVE) or _same_layout(call):
        return _IDENTITY
    return None if _same_layout(call) is False else True


def _dropout(call: _Call) -> _Shape:
    return _IDENTITY if call.bound["train"] is False or call.bound["p"] == 0 else None


def _real_only(complex_shape: _Shape) -> Callable[[_Call], _Shape]:
    return lambda call: complex_shape if call.source.dtype.is_complex else _IDENTITY


def _same_sizes(call: _Call) -> _Shape:
    same = all_equal(call.source.sizes, call.result.sizes)
    return True if same is None else _IDENTITY if same else None


def _expand(call: _Call) -> _Shape:
    same = equal(product(call.source.sizes), product(call.result.sizes))
    return _RESHAPE if same and 0 not in call.source.sizes else _ONE_WAY


def _permutation(axes: Callable[[_Call], list[int]]) -> Callable[[_Call], _Shape]:
    return lambda call: (Form.PERMUTE, (tuple(axes(call)),))


def _swap(rank: int, a: int, b: int) -> list[int]:
    axes = list(range(rank))
    if rank:
        axes[a], axes[b] = axes[b], axes[a]
    return axes


def _transpose(call: _Call) -> list[int]:
    names = ("axis0", "axis1") if "axis0" in call.bound else ("dim0", "dim1")
    return _swap(call.source.rank, call.dim(names[0]), call.dim(names[1]))


def _permute(name: str) -> Callable[[_Call], list[int]]:
    def axes(call: _Call) -> list[int]:
        dims = call.bound[name]
        if not isinstance(dims, tuple):
            raise _Unknown
        return [_integer(dim) % call.source.rank for dim in dims]

    return axes


def _movedim(call: _Call) -> list[int]:
    rank = max(call.source.rank, 1)
    given = [call.bound["source"], call.bound["destination"]]
    sources, destinations = (
        [_integer(item) % rank for item in (value if isinstance(value, tuple) else (value,))]
        for value in given
    )
    rest = iter(axis for axis in range(call.source.rank) if axis not in sources)
    placed = dict(zip(destinations, sources, strict=True))
    return [placed[axis] if axis in placed else next(rest) for axis in range(call.source.rank)]


def _integer(value: Arg | Dim) -> int:
    if not isinstance(value, int):
        raise _Unknown
    return value


def _adjoint(call: _Call) -> _Shape:
    if call.source.dtype.is_complex:
        return _ONE_WAY
    return Form.PERMUTE, (tuple(_swap(call.source.rank, -2, -1) if call.source.rank >= 2 else ()),)


def _select(call: _Call) -> _Shape:
    return Form.SELECT, (call.dim("dim"), call.bound["index"])


def _slice(call: _Call) -> _Shape:
    return Form.SLICE, tuple(call.bound[name] for name in ("dim", "start", "end", "step"))


def _narrow(call: _Call) -> _Shape:
    dim, start = call.dim("dim"), call.bound["start"]
    size, length = call.source.sizes[dim], call.result.sizes[dim]
    if isinstance(start, int) and isinstance(size, int) and isinstance(length, int):
        start = start + size if start < 0 else start
        return Form.SLICE, (dim, start, start + length, 1)
    if not isinstance(start, int | Ref):
        raise _Unknown
    return Form.NARROW, (dim, start, call.bound["length"])


def _unbind(call: _Call) -> _Shape:
    return Form.SELECT, (call.dim("dim"), call.position)


def _split(axis: Callable[[_Call], int]) -> Callable[[_Call], _Shape]:
    def rule(call: _Call) -> _Shape:
        dim = axis(call)
        lengths = [_integer(type_.sizes[dim]) for type_ in call.siblings[: call.position + 1]]
        return Form.SLICE, (dim, sum(lengths[:-1]), sum(lengths), 1)

    return rule


def _diagonal(call: _Call) -> _Shape:
    return Form.DIAGONAL, (call.bound["offset"], call.dim("dim1"), call.dim("dim2"))


def _as_strided(call: _Call) -> _Shape:
    return Form.AS_STRIDED, tuple(call.bound[name] for name in ("size", "stride", "storage_offset"))


# By operator of ATen: a rule holds for all of its overloads that torch has.
_ATEN: dict[str, Callable[[_Call], _Shape]] = {
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
_PRIMS: dict[str, Callable[[_Call], _Shape]] = {
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
def _rules() -> dict[str, Callable[[_Call], _Shape]]:
    """By exact overload: another package's operator of the same name may do anything."""
    found: dict[str, Callable[[_Call], _Shape]] = {}
    for namespace, rules in (("aten", _ATEN), ("prims", _PRIMS)):
        for target in targets(namespace):
            rule = rules.get(target.split(".")[1])
            if rule is not None:
                found[target] = rule
    return found


def view_type(view: View, source: TensorType, recorded: TensorType, original: TensorType) -> TensorType:
    """The type of a view taken of another tensor than at first.

    `source`: the tensor viewed now; `original`: the one viewed when the type `recorded` was found.
    """
    if (source.strides, source.offset) == (original.strides, original.offset):
        return recorded
    strides: tuple[Dim, ...] = row_major(recorded.sizes)
    if source.strides == original.strides:
        strides = recorded.strides
    elif view.form is Form.IDENTITY:
        strides = source.strides
    elif view.form is Form.RESHAPE:
        found = view_strides(source, recorded.sizes)
        strides = found if isinstance(found, tuple) else strides
    elif view.form is Form.PERMUTE:
        axes = view.data[0]
        assert isinstance(axes, tuple)
        strides = tuple(source.strides[_integer(axis)] for axis in axes)
    elif view.form is Form.SELECT:
        axis = _integer(view.data[0])
        strides = source.strides[:axis] + source.strides[axis + 1 :]
    elif view.form is Form.NARROW:
        strides = source.strides
    elif view.form is Form.SLICE:
        axis, step = _integer(view.data[0]) % source.rank, _integer(view.data[3])
        strides = (*source.strides[:axis], product((source.strides[axis], step)), *source.strides[axis + 1 :])
    moved = Apply("Add", (recorded.offset, source.offset, Apply("Mul", (-1, original.offset))))
    offset = product((moved,)) if strides == recorded.strides else recorded.offset
    return TensorType(
        recorded.dtype,
        recorded.sizes,
        strides,
        offset,
        recorded.device,
        recorded.layout,
        recorded.requires_grad,
    )
