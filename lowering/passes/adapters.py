"""Low-rank adapters (Hu et al.: LoRA, 2021): to a layer's result comes a product of two small matrices.

The result of a layer `y = W x` becomes `y + s * B (A x)`. `A`, `B` and `s` are inputs of the program, of a
kind of their own. So all adapters of one form run on the same code, beside the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lowering.ir.aten import schema
from lowering.ir.dims import row_major
from lowering.ir.facts.contractions import is_convolution, product_operands
from lowering.ir.program import Arg, InputKind, InputSpec, Node, Program, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import CPU, Device, DType, TensorType, contiguous
from lowering.passes.builder import Builder
from lowering.passes.pipeline import Pass
from lowering.passes.program import FUNCTIONAL

_CASTS = frozenset({"aten.to.dtype", "aten._to_copy.default", "prims.convert_element_type.default"})
_FIRST, _SECOND, _SCALE = "lora_A", "lora_B", "scale"


@dataclass(frozen=True)
class AdaptedLayer:
    """A layer that adapters of one form change.

    `weight`: the full name of its weight. `names`: all full names of that tensor; where there are several,
    `path` tells whose calls are meant. `first`, `second`: the sizes of A and B; of a linear layer [rank, in]
    and [out, rank], of a convolution [rank, in, *kernel] and [out, rank / groups, 1, ...].
    """

    weight: str
    path: str
    names: tuple[str, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    dtype: DType
    device: Device = CPU

    @property
    def inputs(self) -> dict[str, TensorType]:
        """The types of the inputs for A, B and s, by the full names that they get.

        Matrices of linear layers are the other way round, [in, rank] and [rank, out]: engines would turn them
        at each call.
        """
        order = -1 if self.is_linear else 1
        first, second = (
            contiguous(self.dtype, sizes[::order], self.device) for sizes in (self.first, self.second)
        )
        # A number that no half precision has rounded.
        wide = DType.FLOAT64 if self.dtype is DType.FLOAT64 else DType.FLOAT32
        names = adapter_names(self.weight)
        return dict(zip(names, (first, second, contiguous(wide, (), self.device)), strict=True))

    @property
    def is_linear(self) -> bool:
        return len(self.first) == 2


def adapter_names(weight: str) -> tuple[str, str, str]:
    """The full names of A, B and s of the layer with this weight."""
    return f"{weight}.{_FIRST}", f"{weight}.{_SECOND}", f"{weight}.{_SCALE}"


class LayerCall(NamedTuple):
    """A call of a layer. `in_out`: its weight is stored as [in, out]. `cast`: the dtype it is cast to."""

    node: Node
    input: Ref
    in_out: bool
    cast: DType | None
    given: Mapping[str, Any]

    @property
    def convolves(self) -> bool:
        return is_convolution(self.node.target)


def calls_of(program: Program, names: Sequence[str], path: str) -> list[LayerCall]:
    """The calls of the layer at this path of modules whose weight has these full names."""
    weights = {spec.name for spec in program.signature.inputs if spec.fqn in names}
    found = list(_calls(program, weights))
    if len(names) == 1:
        return found
    return [call for call in found if call.node.location.module_path == path]


def _calls(program: Program, weights: set[str]) -> Iterator[LayerCall]:
    # By value that carries the weight: whether it is transposed, and the dtype that it was cast to.
    carriers: dict[str, tuple[bool, DType | None]] = dict.fromkeys(weights, (False, None))
    values = program.graph.values
    for node in program.graph.nodes:
        if not any(name in carriers for name in node.refs()):
            continue
        found = schema(node.target)
        if found is None:
            continue
        given = found.bind(node.args)
        operands = product_operands(node.target)
        name = operands.weight if operands else "weight" if is_convolution(node.target) else "self"
        source = given.get(name)
        if not isinstance(source, Ref) or source.name not in carriers:
            continue
        flipped, cast = carriers[source.name]
        if operands is not None or name == "weight":
            of_input = given[operands.input if operands else "input"]
            if isinstance(of_input, Ref):
                in_out = operands is not None and operands.transposed != flipped
                yield LayerCall(node, of_input, in_out, cast, given)
            continue
        results = list(node.results())
        type_ = values.get(results[0]) if len(results) == 1 else None
        if not isinstance(type_, TensorType):
            continue
        if node.target in _CASTS:
            carriers[results[0]] = flipped, type_.dtype
        elif _swaps(node.target, given):
            carriers[results[0]] = not flipped, cast


def _swaps(target: str, given: Mapping[str, Any]) -> bool:
    """Whether a node exchanges the two axes of a matrix."""
    if target in ("aten.t.default", "aten.numpy_T.default"):
        return True
    if target == "aten.permute.default":
        return tuple(given["dims"]) in ((1, 0), (-1, 0), (1, -2), (-1, -2))
    return target == "aten.transpose.int" and {given["dim0"] % 2, given["dim1"] % 2} == {0, 1}


def with_adapters(program: Program, layers: Sequence[AdaptedLayer]) -> Program:
    """The program with these layers changed by adapters, whose tensors are inputs of kind ADAPTER."""
    builder = Builder(program.graph)
    specs: list[InputSpec] = []
    inputs: dict[str, tuple[str, str, str]] = {}
    changed: dict[str, tuple[AdaptedLayer, LayerCall]] = {}
    for layer in layers:
        inputs[layer.weight] = _inputs(builder, layer, specs)
        for call in calls_of(program, layer.names, layer.path):
            changed[call.node.name] = layer, call
    for node in program.graph.nodes:
        if node.name not in changed:
            builder.nodes.append(node)
            continue
        layer, call = changed[node.name]
        _add(builder, call, [Ref(name) for name in inputs[layer.weight]])
    graph = replace(
        program.graph,
        inputs=(*program.graph.inputs, *(Ref(spec.name) for spec in specs)),
        nodes=tuple(builder.nodes),
        values=builder.values,
    )
    signature = replace(program.signature, inputs=(*program.signature.inputs, *specs))
    return replace(program, graph=graph, signature=signature)


def _inputs(builder: Builder, layer: AdaptedLayer, specs: list[InputSpec]) -> tuple[str, str, str]:
    names = []
    for fqn, type_ in layer.inputs.items():
        name = builder.new_name("adapter")
        builder.values[name] = type_
        specs.append(InputSpec(InputKind.ADAPTER, name, fqn))
        names.append(name)
    first, second, scale = names
    return first, second, scale


def _add(builder: Builder, call: LayerCall, given: Sequence[Ref]) -> None:
    """The layer's node under another result, and the nodes that add the adapter's to it."""
    node, first, second, scale = call.node, *given
    (result,) = node.results()
    type_ = builder.tensor(result)
    own = builder.new_name(result)
    builder.values[own] = type_
    builder.nodes.append(replace(node, outputs=(own,)))
    builder.location = node.location
    input_ = call.input
    if call.cast is not None:
        # As autocast does it: the weight was cast, and so are they.
        first, second = (Ref(_cast(builder, each.name, call.cast)) for each in (first, second))
    else:
        input_ = Ref(_cast(builder, input_.name, builder.tensor(first.name).dtype))
    small = _first(builder, call, input_, first, type_)
    added = _second(builder, call, small, second, type_)
    scaled = builder.call("aten.mul.Tensor", builder.tensor(added), self=Ref(added), other=scale)
    wide = _wider(type_.dtype, builder.tensor(scaled).dtype)
    given_sum = {"self": Ref(own), "other": Ref(scaled)}
    total = builder.call("aten.add.Tensor", replace(type_, dtype=wide, offset=0), **given_sum)
    total = _cast(builder, total, type_.dtype)
    # The last node makes the value that others read.
    last = builder.nodes[-1]
    del builder.values[total]
    builder.nodes[-1] = replace(last, outputs=(result,))
    builder.values[result] = replace(type_, offset=0)


def _first(builder: Builder, call: LayerCall, input_: Ref, first: Ref, type_: TensorType) -> str:
    """A x."""
    a = builder.tensor(first.name)
    if not call.convolves:
        return _product(builder, input_, first)
    axis = len(type_.sizes) - len(a.sizes) + 1
    sizes = (*type_.sizes[:axis], a.sizes[0], *type_.sizes[axis + 1 :])
    names = ("stride", "padding")
    given: dict[str, Arg] = {name: call.given[name] for name in names if name in call.given}
    target = _convolution(call.node.target, len(a.sizes) - 2)
    return builder.call(target, _dense(a, sizes), input=input_, weight=first, bias=None, **given)


def _second(builder: Builder, call: LayerCall, small: str, second: Ref, type_: TensorType) -> str:
    """B (A x)."""
    if not call.convolves:
        return _product(builder, Ref(small), second)
    b = builder.tensor(second.name)
    space = len(b.sizes) - 2
    ones, zeros = (1,) * space, (0,) * space
    given: dict[str, Arg] = {"stride": ones, "padding": zeros, "dilation": ones}
    given["groups"] = call.given.get("groups", 1)
    target = f"aten.conv{space}d.default"
    type_ = _dense(b, type_.sizes)
    return builder.call(target, type_, input=Ref(small), weight=second, bias=None, **given)


def _product(builder: Builder, rows: Ref, matrix: Ref) -> str:
    """Rows times a matrix, as a linear layer without a bias does it."""
    given, by = builder.tensor(rows.name), builder.tensor(matrix.name)
    type_ = _dense(by, (*given.sizes[:-1], by.sizes[1]))
    return builder.call("aten.matmul.default", type_, self=rows, other=matrix)


def _convolution(target: str, space: int) -> str:
    """The overload with the same kind of padding, numbers or a word."""
    return target if target.endswith(".padding") else f"aten.conv{space}d.default"


def _cast(builder: Builder, name: str, dtype: DType) -> str:
    type_ = builder.tensor(name)
    if type_.dtype is dtype:
        return name
    target = replace(builder.cloned(type_), dtype=dtype)
    return builder.call("aten._to_copy.default", target, self=Ref(name), dtype=dtype)


def _wider(one: DType, other: DType) -> DType:
    """The dtype of a sum: of different ones that are as wide, and so hold not each other, float32."""
    if one is other:
        return one
    if one.itemsize == other.itemsize:
        return DType.FLOAT32
    return one if one.itemsize > other.itemsize else other


def _dense(like: TensorType, sizes: Sequence[Dim]) -> TensorType:
    return TensorType(like.dtype, tuple(sizes), row_major(sizes), device=like.device)


def add_adapters(layers: Sequence[AdaptedLayer]) -> Pass[Program]:
    """The pass for these layers."""
    return Pass(
        "add-adapters",
        lambda program: with_adapters(program, layers),
        "Add to the results of layers those of low-rank adapters, whose matrices are inputs.",
        requires=(FUNCTIONAL,),
        ensures=(FUNCTIONAL,),
        required=True,
    )
