"""Which results are views of which arguments, and in what way.

Schemas say that `reshape`, `contiguous` or `to` may return a view. The recorded sizes and strides decide it
here, as in torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lowering.ir.aten import OpSchema
from lowering.ir.dims import product, row_major, view_strides
from lowering.ir.program import Arg, Node, Ref
from lowering.ir.symbols import Apply, Dim
from lowering.ir.types import TensorType, ValueType
from lowering.ir.view_rules import Call, Form, NotLiteral, integer, rules


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
    call = Call(node.target, bound, tensors[0], tensors[1], position, tuple(tensors[2:]))
    rule = rules().get(node.target)
    try:
        shape = True if rule is None else rule(call)
    except NotLiteral:
        return View(refs[0].name, Form.ONE_WAY)
    except IndexError:  # an axis that the types do not have: the types of a file are only claimed
        return _doubt(refs)
    if shape is True:
        return _doubt(refs)
    return View(refs[0].name, *shape) if shape else None


def _doubt(refs: tuple[Arg, ...]) -> Doubt:
    return Doubt(tuple(ref.name for ref in refs if isinstance(ref, Ref)))


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
        strides = tuple(source.strides[integer(axis)] for axis in axes)
    elif view.form is Form.SELECT:
        axis = integer(view.data[0])
        strides = source.strides[:axis] + source.strides[axis + 1 :]
    elif view.form is Form.NARROW:
        strides = source.strides
    elif view.form is Form.SLICE:
        axis, step = integer(view.data[0]) % source.rank, integer(view.data[3])
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
