"""A graph under construction: names, types, and the ATen calls that views and their inverses need."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.dims import clone_strides, row_major, view_strides
from lowering.ir.location import Location
from lowering.ir.program import Arg, Argument, Graph, Node, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import DType, SymKind, SymType, TensorType, ValueType
from lowering.ir.view_rules import Form
from lowering.ir.views import View, view_type
from lowering.passes.scalars import narrowed


class Builder:
    """Nodes in execution order and the types of their values."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, ValueType] = dict(graph.values)
        self.recorded = graph.values
        self.location = Location()
        self._names = {*graph.values, *(node.name for node in graph.nodes)}
        self._counts: dict[str, int] = {}
        self._sizes: dict[tuple[str, int], str] = {}

    def new_name(self, stem: str) -> str:
        """A name that no value and no node has."""
        count = self._counts.get(stem, 0)
        while True:
            count += 1
            name = f"{stem}_{count}"
            if name not in self._names:
                self._counts[stem] = count
                self._names.add(name)
                return name

    def tensor(self, name: str) -> TensorType:
        """The type of a tensor value."""
        type_ = self.values[name]
        assert isinstance(type_, TensorType), name
        return type_

    def call(self, target: str, type_: ValueType, /, **args: Arg) -> str:
        """Append a call of an operator with one result; returns the result's name."""
        name = self.new_name(target.split(".")[1])
        arguments = tuple(Argument(key, value) for key, value in args.items())
        self.nodes.append(Node(name, target, arguments, (name,), self.location))
        self.values[name] = type_
        return name

    def cloned(self, type_: TensorType) -> TensorType:
        """The type of a copy."""
        return replace(type_, strides=clone_strides(type_), offset=0)

    def sizes(self, name: str) -> tuple[Arg, ...]:
        """A tensor's sizes as arguments: integers, and symbolic ones read from the tensor."""
        type_ = self.tensor(name)
        return tuple(
            size if isinstance(size, int) else Ref(self._size(name, axis, size))
            for axis, size in enumerate(type_.sizes)
        )

    def _size(self, name: str, axis: int, size: Dim) -> str:
        key = (name, axis)
        if key not in self._sizes:
            self._sizes[key] = self.call(
                "aten.sym_size.int", SymType(SymKind.INT, size), self=Ref(name), dim=axis
            )
        return self._sizes[key]

    def reshape(self, value: str, like: str) -> str:
        """The value with the sizes of another one."""
        source, sizes = self.tensor(value), self.tensor(like).sizes
        found = view_strides(source, sizes)
        type_ = replace(source, sizes=sizes, strides=found if isinstance(found, tuple) else row_major(sizes))
        type_ = type_ if isinstance(found, tuple) else replace(type_, offset=0)
        return self.call("aten.reshape.default", type_, self=Ref(value), shape=self.sizes(like))

    def dense(self, value: str) -> str:
        """The value in row-major order; a no-op for one that is."""
        type_ = self.tensor(value)
        dense = replace(type_, strides=row_major(type_.sizes), offset=0)
        return value if type_ == dense else self.call("aten.contiguous.default", dense, self=Ref(value))

    def retype(self, view: View, source: str, name: str) -> None:
        """Set the type of `name`, a view that now is taken of `source`."""
        recorded, original = self.recorded[name], self.recorded[view.source]
        if isinstance(recorded, TensorType) and isinstance(original, TensorType):
            self.values[name] = view_type(view, self.tensor(source), recorded, original)

    def replay(self, view: View, source: str, name: str) -> str:
        """`name`, which is a view, taken anew of `source` (never of form ONE_WAY)."""
        recorded, original = self.recorded[name], self.recorded[view.source]
        assert isinstance(recorded, TensorType)
        assert isinstance(original, TensorType)
        type_ = view_type(view, self.tensor(source), recorded, original)
        given = Ref(source)
        match view.form:
            case Form.IDENTITY:
                return source
            case Form.RESHAPE:
                return self.reshape(source, name)
            case Form.PERMUTE:
                return self.call("aten.permute.default", type_, self=given, dims=view.data[0])
            case Form.SELECT:
                dim, index = view.data
                return self.call("aten.select.int", type_, self=given, dim=dim, index=index)
            case Form.SLICE:
                dim, start, end, step = view.data
                return self.call(
                    "aten.slice.Tensor", type_, self=given, dim=dim, start=start, end=end, step=step
                )
            case Form.NARROW:
                dim, start, length = view.data
                return self.call(
                    "aten.narrow.default", type_, self=given, dim=dim, start=start, length=length
                )
            case Form.DIAGONAL:
                offset, dim1, dim2 = view.data
                return self.call(
                    "aten.diagonal.default", type_, self=given, offset=offset, dim1=dim1, dim2=dim2
                )
            case Form.AS_STRIDED:
                size, stride, offset = view.data
                return self.call(
                    "aten.as_strided.default",
                    type_,
                    self=Ref(self.dense(source)),
                    size=size,
                    stride=stride,
                    storage_offset=offset,
                )
            case Form.BITCAST:
                return self.call("aten.view.dtype", type_, self=Ref(self.dense(source)), dtype=recorded.dtype)
            case Form.VIEW_AS_COMPLEX:
                return self.call("aten.view_as_complex.default", type_, self=Ref(self.dense(source)))
            case _:
                return self.call(f"aten.{_UNARY[view.form]}.default", type_, self=given)

    def view_inverse(self, view: View, old: str, new: str) -> str | None:
        """The new value of the view's source, whose value is `old`, when the view's elements become `new`.

        None if that cannot be said.
        """
        type_ = self.tensor(old)
        parts = {"self": Ref(old), "src": Ref(new)}
        match view.form:
            case Form.IDENTITY:
                return new
            case Form.RESHAPE:
                return self.reshape(new, old)
            case Form.PERMUTE:
                return self._permute_back(view, new)
            case Form.SELECT:
                dim, index = view.data
                return self.call("aten.select_scatter.default", type_, **parts, dim=dim, index=index)
            case Form.SLICE:
                dim, start, end, step = view.data
                return self.call(
                    "aten.slice_scatter.default", type_, **parts, dim=dim, start=start, end=end, step=step
                )
            case Form.NARROW:
                dim, start, length = view.data
                assert isinstance(dim, int)
                start, end = narrowed(self, start, self.sizes(old)[dim], length)
                return self.call(
                    "aten.slice_scatter.default", type_, **parts, dim=dim, start=start, end=end, step=1
                )
            case Form.DIAGONAL:
                offset, dim1, dim2 = view.data
                return self.call(
                    "aten.diagonal_scatter.default", type_, **parts, offset=offset, dim1=dim1, dim2=dim2
                )
            case Form.AS_STRIDED:
                size, stride, offset = view.data
                if not _disjoint(self.tensor(new), stride):
                    return None
                dense = replace(type_, strides=row_major(type_.sizes), offset=0)
                parts["self"] = Ref(self.dense(old))
                return self.call(
                    "aten.as_strided_scatter.default",
                    dense,
                    **parts,
                    size=size,
                    stride=stride,
                    storage_offset=offset,
                )
            case Form.BITCAST:
                dense = self.dense(new)
                strides = row_major(type_.sizes)
                return self.call(
                    "aten.view.dtype",
                    replace(type_, strides=strides, offset=0),
                    self=Ref(dense),
                    dtype=type_.dtype,
                )
            case Form.VIEW_AS_REAL:
                back = replace(type_, strides=row_major(type_.sizes), offset=0)
                return self.call("aten.view_as_complex.default", back, self=Ref(self.dense(new)))
            case Form.VIEW_AS_COMPLEX:
                back = replace(type_, strides=row_major(type_.sizes), offset=0)
                return self.call("aten.view_as_real.default", back, self=Ref(self.dense(new)))
            case Form.REAL | Form.IMAG:
                return self._replace_part(view.form, old, new)
            case Form.CONJUGATE | Form.NEGATIVE:
                target = "conj_physical" if view.form is Form.CONJUGATE else "neg"
                return self.call(f"aten.{target}.default", self.cloned(self.tensor(new)), self=Ref(new))
            case _:
                return None

    def _permute_back(self, view: View, new: str) -> str:
        axes = view.data[0]
        assert isinstance(axes, tuple)
        inverse = tuple(axes.index(axis) for axis in range(len(axes)))
        type_ = self.tensor(new)
        permuted = replace(
            type_,
            sizes=tuple(type_.sizes[axis] for axis in inverse),
            strides=tuple(type_.strides[axis] for axis in inverse),
        )
        return self.call("aten.permute.default", permuted, self=Ref(new), dims=inverse)

    def _replace_part(self, form: Form, old: str, new: str) -> str | None:
        """A complex value with another real or imaginary part."""
        type_, part = self.tensor(old), self.tensor(new)
        if part.dtype not in (DType.FLOAT32, DType.FLOAT64):
            return None
        other = "imag" if form is Form.REAL else "real"
        kept = Ref(self.call(f"aten.{other}.default", part, self=Ref(old)))
        real, imag = (Ref(new), kept) if form is Form.REAL else (kept, Ref(new))
        made = replace(type_, strides=row_major(type_.sizes), offset=0)
        return self.call("aten.complex.default", made, real=real, imag=imag)


_UNARY = {
    Form.REAL: "real",
    Form.IMAG: "imag",
    Form.VIEW_AS_REAL: "view_as_real",
    Form.CONJUGATE: "conj_physical",
    Form.NEGATIVE: "neg",
}


def _disjoint(type_: TensorType, strides: Arg) -> bool:
    """Whether elements at these strides are provably all different."""
    assert isinstance(strides, tuple)
    pairs: list[tuple[int, int]] = []
    for stride, size in zip(strides, type_.sizes, strict=True):
        if size == 1:
            continue
        if not isinstance(stride, int) or not isinstance(size, int):
            return False
        pairs.append((stride, size))
    reach = 0
    for stride, size in sorted(pairs):
        if stride <= reach:
            return False
        reach += stride * (size - 1)
    return True
