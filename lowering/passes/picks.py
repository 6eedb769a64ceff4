"""Elements of a tensor whose number only the data gives: those that a mask picks, or a slice of an axis."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from lowering.ir.dims import product
from lowering.ir.facts.indices import puts_points, takes_points
from lowering.ir.facts.views import gives_sizes
from lowering.ir.program import Arg, Graph, Node, Ref
from lowering.ir.symbols import Dim, Term, free_symbols, is_unbacked
from lowering.ir.types import DType, SymType, TensorType, contiguous
from lowering.ir.unbacked import unbacked
from lowering.passes.builder import Builder
from lowering.passes.rewriting import bound_arguments
from lowering.passes.scalars import wrapped

SLICE = "aten.slice.Tensor"
SCATTER = "aten.slice_scatter.default"


class Masked(NamedTuple):
    """The picks of a mask of this rank: of axes `place` and on, of tensors of these sizes."""

    mask: str
    place: int
    rank: int
    sizes: tuple[Dim, ...]

    def alike(self, sizes: tuple[Dim, ...]) -> bool:
        """Whether a tensor of these sizes gives each picked element the same, wherever that lies."""
        return len(sizes) <= len(self.sizes) - self.place - self.rank

    def most(self) -> Dim | None:
        """How many there can be."""
        return product(self.sizes[self.place : self.place + self.rank])

    def condition(self, builder: Builder, write: Node) -> str:
        """Which elements of a whole tensor are picked: flags that broadcast to it."""
        mask = self.mask
        for _ in range(len(self.sizes) - self.place - self.rank):
            type_ = builder.tensor(mask)
            wider = replace(type_, sizes=(*type_.sizes, 1), strides=(*type_.strides, 1))
            mask = builder.call("aten.unsqueeze.default", wider, self=Ref(mask), dim=-1)
        return mask


class Sliced(NamedTuple):
    """A slice of one axis between these ends, of tensors of these sizes. None is the axis's own end."""

    axis: int
    start: Term | None
    end: Term | None
    sizes: tuple[Dim, ...]

    def alike(self, sizes: tuple[Dim, ...]) -> bool:
        """As of `Masked`."""
        behind = len(self.sizes) - self.axis
        return len(sizes) < behind or (len(sizes) <= len(self.sizes) and sizes[-behind] == 1)

    def most(self) -> Dim | None:
        """As of `Masked`."""
        return self.sizes[self.axis]

    def condition(self, builder: Builder, write: Node) -> str:
        """As of `Masked`."""
        given, size = bound_arguments(write), self.sizes[self.axis]
        assert isinstance(size, int)
        low = None if self.start is None else wrapped(builder, given["start"], size)
        high = None if self.end is None else wrapped(builder, given["end"], size)
        return between(builder, size, 0, low, high, len(self.sizes) - self.axis - 1)


Pick = Masked | Sliced


class Found(NamedTuple):
    """A pick. `own`: the symbols that its node is the first to show. `length`: of a slice."""

    pick: Pick
    own: frozenset[str]
    length: Term | None


def picked(graph: Graph, node: Node, binder: Mapping[str, str]) -> Found | None:
    """The pick that a node makes; None for other nodes. `binder`: as of `lowering.ir.unbacked.binders`."""
    if takes_points(node.target):
        return _by_mask(graph, node)
    return _by_ends(graph, node, binder) if node.target == SLICE else None


def _by_mask(graph: Graph, node: Node) -> Found | None:
    given = {a.name: a.value for a in node.args}
    mask, type_ = _mask(graph, given), _type_of(graph, given.get("self"))
    if mask is None or type_ is None:
        return None
    (name,) = node.results()
    return Found(Masked(*mask, type_.sizes), unbacked(graph.values[name]), None)


def _mask(graph: Graph, given: Mapping[str, Arg]) -> tuple[str, int, int] | None:
    """The one mask among indices, its place and its rank."""
    indices = given.get("indices")
    used = [(at, item) for at, item in enumerate(indices if isinstance(indices, tuple) else ()) if item]
    place, mask = used[0] if len(used) == 1 else (0, None)
    type_ = _type_of(graph, mask)
    if not isinstance(mask, Ref) or type_ is None:
        return None
    return (mask.name, place, type_.rank) if type_.dtype is DType.BOOL and type_.rank else None


def _by_ends(graph: Graph, node: Node, binder: Mapping[str, str]) -> Found | None:
    found = _ends(graph, node)
    made = _type_of(graph, Ref(next(node.results())))
    if found is None or made is None:
        return None
    count = made.sizes[found.axis]
    symbols = frozenset(filter(is_unbacked, free_symbols(count)))
    # One whose length is known is a window.
    if not symbols:
        return None
    return Found(found, frozenset(name for name in symbols if binder.get(name) == node.name), count)


def _ends(graph: Graph, node: Node) -> Sliced | None:
    given = bound_arguments(node)
    type_, dim = _type_of(graph, given["self"]), given["dim"]
    if type_ is None or not type_.rank or not isinstance(dim, int) or given["step"] != 1:
        return None
    size = type_.sizes[dim]
    if not isinstance(size, int):
        return None
    start, end = (_term(graph, given[name]) for name in ("start", "end"))
    start, end = (None if start == 0 else start), (None if isinstance(end, int) and end >= size else end)
    return Sliced(dim % type_.rank, start, end, type_.sizes)


def _term(graph: Graph, bound: Arg) -> Term | None:
    type_ = graph.values.get(bound.name) if isinstance(bound, Ref) else None
    if isinstance(type_, SymType):
        return type_.value
    return bound if isinstance(bound, int) else None


def puts_back(graph: Graph, node: Node, pick: Pick) -> tuple[Ref, Ref] | None:
    """The tensor that a node writes to and the picked elements that it writes there in their places; None for
    other nodes."""
    if isinstance(pick, Sliced):
        if node.target != SCATTER or _ends(graph, node) != pick:
            return None
        names = ("self", "src")
    else:
        if not puts_points(node.target):
            return None
        names = ("self", "values")
    given = {a.name: a.value for a in node.args}
    target, values = given.get(names[0]), given.get(names[1])
    if given.get("accumulate") not in (None, False):
        return None
    into, new = _type_of(graph, target), _type_of(graph, values)
    if not isinstance(target, Ref) or not isinstance(values, Ref) or into is None or new is None:
        return None
    if isinstance(pick, Masked) and _mask(graph, given) != (pick.mask, pick.place, pick.rank):
        return None
    return (target, values) if new.dtype is into.dtype and into.sizes == pick.sizes else None


def spreads(graph: Graph, node: Node, pick: Pick, lengths: Collection[Term]) -> Ref | None:
    """The tensor that a node gives a slice's sizes by broadcasting alone; None for other nodes."""
    given = {a.name: a.value for a in node.args}
    source, made = given.get("self"), _type_of(graph, Ref(next(node.results(), "")))
    if not gives_sizes(node.target) or not isinstance(pick, Sliced) or made is None:
        return None
    if given.get("implicit"):
        return None
    type_ = _type_of(graph, source)
    if not isinstance(source, Ref) or type_ is None or made.rank != len(pick.sizes):
        return None
    if not is_part(made.sizes, pick, lengths):
        return None
    same = is_part(type_.sizes, pick, lengths)
    if node.target != "aten.expand.default":
        return source if same else None
    return source if same or pick.alike(type_.sizes) else None


def is_part(sizes: tuple[Dim, ...], pick: Pick, lengths: Collection[Term]) -> bool:
    """Whether a tensor has the sizes of a slice of one of these lengths. Of a mask it always is so."""
    return isinstance(pick, Masked) or (
        len(sizes) == len(pick.sizes)
        and all(
            size in lengths if axis == pick.axis else size == whole
            for axis, (size, whole) in enumerate(zip(sizes, pick.sizes, strict=True))
        )
    )


def _type_of(graph: Graph, value: Arg) -> TensorType | None:
    type_ = graph.values.get(value.name) if isinstance(value, Ref) else None
    return type_ if isinstance(type_, TensorType) else None


def between(builder: Builder, length: int, first: Arg, low: Arg, high: Arg, behind: int) -> str:
    """Which of `length` places from `first` on lie in low..high: flags, with axes of size 1 for those behind.

    An end of None is beyond all places; at most one is None.
    """
    row = contiguous(DType.INT64, (length,))
    flags = contiguous(DType.BOOL, (length,))
    places = Ref(builder.call("aten.arange.default", row, end=length))
    if first != 0:
        places = Ref(builder.call("aten.add.Tensor", row, self=places, other=first))
    ends = [("ge", low), ("lt", high)]
    found = [
        builder.call(f"aten.{name}.Scalar", flags, self=places, other=end)
        for name, end in ends
        if end is not None
    ]
    hit = found[0]
    for other in found[1:]:
        hit = builder.call("aten.logical_and.default", flags, self=Ref(hit), other=Ref(other))
    shape = (length, *(1,) * behind)
    return builder.call("aten.view.default", contiguous(DType.BOOL, shape), self=Ref(hit), size=shape)
