"""Convolutions and products on ATen the way oneDNN does them best: weights in its own layouts, made once.

Eager lays out the weights of a convolution anew at each call, and leaves products of float32 to another
library. Here a batch norm is folded into the weights before it, and a sum and an activation join the call.
The operators are those of torch's own compiler (`torch._inductor.fx_passes.mkldnn_fusion`). They round
otherwise than eager's, so only measured placement asks for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch

from lowering.host.tensors import torch_dtype
from lowering.ir.facts.contractions import Operands, may_convolve_images, product_operands
from lowering.ir.facts.effects import sees_memory
from lowering.ir.facts.namespaces import is_higher_order
from lowering.ir.facts.views import needs_rows, of_any_strides
from lowering.ir.program import Arg, Argument, Node, Ref
from lowering.ir.types import DType, TensorType
from lowering.ir.uses import use_counts, users
from lowering.targets.aten import onednn, operators
from lowering.targets.aten.activations import FUSED
from lowering.targets.aten.program import AtenPass, AtenProgram

_NORMS = frozenset({"aten.batch_norm.default", "aten._native_batch_norm_legit_no_training.default"})
_SUMS = frozenset({"aten.add.Tensor", "aten.add_.Tensor"})


def prepack(program: AtenProgram) -> AtenProgram:
    """The program with layers as calls of oneDNN, and their packed weights among the constants.

    Outputs are dense. Rank, sizes and dtypes are those of the program given; elements differ by rounding.
    """
    packer = _Packer(program)
    return replace(program, nodes=tuple(packer.nodes()), constants=packer.constants)


PREPACKING = AtenPass("prepacking", prepack, "Fuse layers into calls of oneDNN, on weights in its layout.")


def can_fuse(program: AtenProgram) -> bool:
    """Whether oneDNN is there, and nodes may change places.

    A layer runs where its last node stood: its inputs must not have been written meanwhile.
    """
    return torch.backends.mkldnn.is_available() and not any(map(_writes, program.nodes))


@dataclass(frozen=True, slots=True)
class _Geometry:
    """How a convolution moves: two numbers each, and the groups. `line`: of images that are one high."""

    padding: list[int]
    stride: list[int]
    dilation: list[int]
    groups: int
    line: bool


@dataclass(slots=True)
class _Layer:
    """A matmul, or with `geometry` a convolution, and its consumers up to the node `last`.

    `weight`: [out, in] or [out, in / groups, height, width]; `bias`: [out].
    """

    last: Node
    input: Ref
    weight: torch.Tensor
    bias: torch.Tensor | None
    geometry: _Geometry | None
    added: Ref | None = None
    activation: str = "none"
    algorithm: str | None = ""


class _Packer:
    def __init__(self, program: AtenProgram) -> None:
        self.constants = dict(program.constants)
        self._values = program.graph.values
        self._nodes = program.nodes
        self._kept = program.outputs
        self._reads = use_counts(self._nodes)
        self._users = users(self._nodes)
        # A packed convolution's result has its channels last in memory.
        self._strides_matter = any(
            sees_memory(node) or needs_rows(node.target) or is_higher_order(node.target)
            for node in self._nodes
        )

    def nodes(self) -> list[Node]:
        """The nodes, with a call of oneDNN in the place of each layer's last."""
        layers: dict[str, _Layer] = {}
        members: set[str] = set()
        for node in self._nodes:
            if node.name not in members and (layer := self._layer(node)) is not None:
                members.update((node.name, *self._followed(layer, members)))
                layers[layer.last.name] = layer
        moved = any(layer.geometry is not None for layer in layers.values())
        found = []
        for node in self._nodes:
            if node.name in layers:
                found += self._calls(layers[node.name])
            elif node.name not in members:
                found.append(_for_any_strides(node) if moved else node)
        return [*found, *self._dense()] if moved else found

    # -------------------------------------------------------------------------------------------- finding

    def _layer(self, node: Node) -> _Layer | None:
        operands = product_operands(node.target)
        if operands is not None:
            return self._product(node, operands)
        if may_convolve_images(node.target) and not self._strides_matter:
            return self._convolution(node)
        return None

    def _product(self, node: Node, operands: Operands) -> _Layer | None:
        given = operators.given(node)
        of_input, of_weight, of_bias, transposed = operands
        weight, bias = self._constant(given[of_weight]), self._constant(given.get(of_bias or ""))
        input_ = self._tensor(given[of_input])
        scaled = given.get("beta", 1) != 1 or given.get("alpha", 1) != 1
        if weight is None or input_ is None or weight.dim() != 2 or scaled or len(input_.sizes) < 2:
            return None
        if given.get(of_bias or "") is not None and (bias is None or bias.dim() != 1):
            return None
        if bias is not None and bias.shape[0] != weight.shape[transposed]:
            return None
        if not _fits(input_.dtype, weight, bias):
            return None
        return _Layer(node, given[of_input], weight.t() if transposed else weight, bias, None)

    def _convolution(self, node: Node) -> _Layer | None:
        given = operators.given(node)
        weight, bias = self._constant(given["weight"]), self._constant(given.get("bias"))
        input_ = self._tensor(given["input"])
        if weight is None or input_ is None or not weight.dim() == len(input_.sizes) in (3, 4):
            return None
        if given.get("transposed", False) or (given.get("bias") is not None and bias is None):
            return None
        line = weight.dim() == 3
        padding, stride, dilation = (
            _pair(given.get(name, usual), usual if line else None)
            for name, usual in (("padding", 0), ("stride", 1), ("dilation", 1))
        )
        groups = given.get("groups", 1)
        if padding is None or stride is None or dilation is None or type(groups) is not int:
            return None
        if not _fits(input_.dtype, weight, bias):
            return None
        geometry = _Geometry(padding, stride, dilation, groups, line)
        return _Layer(node, given["input"], weight.unsqueeze(2) if line else weight, bias, geometry)

    def _followed(self, layer: _Layer, members: Collection[str]) -> Iterator[str]:
        """Fuse the single consumers of its result into a layer; gives the names of these nodes."""
        for take in (self._take_norm, self._take_sum, self._take_activation):
            then = self._only_reader(layer.last)
            if then is not None and then.name not in members and take(layer, then):
                layer.last = then
                yield then.name

    def _only_reader(self, node: Node) -> Node | None:
        name = next(node.results())
        if self._reads[name] != 1 or name in self._kept:
            return None
        return self._users[name][0]

    def _take_norm(self, layer: _Layer, node: Node) -> bool:
        if layer.geometry is None or node.target not in _NORMS:
            return False
        given = operators.given(node)
        if given.get("training", False) or given["input"] != Ref(next(layer.last.results())):
            return False
        names = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (self._constant(given[name]) for name in names)
        if mean is None or variance is None:
            return False
        if (scale is None and given["weight"] is not None) or (shift is None and given["bias"] is not None):
            return False
        if any(self._reads[name] or name in self._kept for name in list(node.results())[1:]):
            return False
        factor = (variance.double() + given["eps"]).rsqrt()
        if scale is not None:
            factor = factor * scale.double()
        moved = -mean.double() if layer.bias is None else layer.bias.double() - mean.double()
        bias = moved * factor if shift is None else moved * factor + shift.double()
        dtype = layer.weight.dtype
        layer.weight = (layer.weight.double() * factor[:, None, None, None]).to(dtype)
        layer.bias = bias.to(dtype)
        return True

    def _take_sum(self, layer: _Layer, node: Node) -> bool:
        if layer.geometry is not None and layer.geometry.line:
            return False
        if node.target not in _SUMS or (given := operators.given(node)).get("alpha", 1) != 1:
            return False
        own = Ref(next(layer.last.results()))
        other = given["other"] if given["self"] == own else given["self"]
        type_, wanted = self._tensor(other), self._tensor(own)
        if type_ is None or wanted is None or self._constant(other) is not None:
            return False
        if (type_.sizes, type_.dtype) != (wanted.sizes, wanted.dtype):
            return False
        layer.added = other
        return True

    def _take_activation(self, layer: _Layer, node: Node) -> bool:
        called = FUSED.get(node.target)
        # After a sum, oneDNN's operators know only relu.
        if called is None or layer.added is not None:
            return False
        layer.activation = called
        if called == "gelu":
            layer.algorithm = operators.given(node).get("approximate", "none")
        return True

    def _tensor(self, arg: Arg) -> TensorType | None:
        type_ = self._values.get(arg.name) if isinstance(arg, Ref) else None
        return type_ if isinstance(type_, TensorType) else None

    def _constant(self, arg: Arg) -> torch.Tensor | None:
        return self.constants.get(arg.name) if isinstance(arg, Ref) else None

    # ------------------------------------------------------------------------------------------- emitting

    def _calls(self, layer: _Layer) -> Iterator[Node]:
        """A call of oneDNN's operator that makes the result of the last node; of a line, as an image."""
        node, result = layer.last, next(layer.last.results())
        if layer.geometry is None or not layer.geometry.line:
            yield self._call(layer, layer.input, node.name, result)
            return
        image, made = Ref(f"{node.name}.image"), Ref(f"{node.name}.made")
        yield _reshaped("unsqueeze.default", image.name, layer.input, image.name)
        yield self._call(layer, image, made.name, made.name)
        yield _reshaped("squeeze.dim", node.name, made, result)

    def _call(self, layer: _Layer, input_: Ref, name: str, result: str) -> Node:
        kind = "linear" if layer.geometry is None else "convolution"
        place = "default" if layer.added is None else "binary"
        target = f"mkldnn._{kind}_pointwise.{place}"
        given: dict[str, Arg] = {
            "X": input_,
            "other": layer.added,
            "W": self._keep(f"{layer.last.name}.weight", self._packed(layer)),
            "B": None if layer.bias is None else self._keep(f"{layer.last.name}.bias", layer.bias),
            "attr": layer.activation if layer.added is None else "add",
            "scalars": (),
            "algorithm": layer.algorithm,
            "binary_attr": "add",
            "alpha": 1.0,
            "unary_attr": None,
            "unary_scalars": (),
            "unary_algorithm": None,
        }
        if layer.geometry is not None:
            given |= {
                "padding": tuple(layer.geometry.padding),
                "stride": tuple(layer.geometry.stride),
                "dilation": tuple(layer.geometry.dilation),
                "groups": layer.geometry.groups,
            }
        wanted = [argument.name for argument in operators.resolve(target)._schema.arguments]
        args = tuple(Argument(name, given[name], False) for name in wanted)
        return replace(layer.last, name=name, target=target, args=args, outputs=(result,), functional=False)

    def _packed(self, layer: _Layer) -> torch.Tensor:
        """The weight in the layout that oneDNN wants for an input of the example's sizes."""
        type_ = self._tensor(layer.input)
        assert type_ is not None
        sizes = [size for size in type_.sizes if type(size) is int]
        known = len(sizes) == len(type_.sizes)
        if layer.geometry is None:
            batch = prod(sizes[:-1]) if known else None
            return torch.ops.mkldnn._reorder_linear_weight(layer.weight.contiguous(), batch)
        g = layer.geometry
        if known and g.line:
            sizes.insert(2, 1)
        return torch.ops.aten.mkldnn_reorder_conv2d_weight(
            layer.weight.to_mkldnn(), g.padding, g.stride, g.dilation, g.groups, sizes if known else None
        )

    def _keep(self, name: str, value: torch.Tensor) -> Ref:
        self.constants[name] = value
        return Ref(name)

    def _dense(self) -> Iterator[Node]:
        """The value that is read afterwards, in rows."""
        for name in self._kept:
            type_ = self._values.get(name)
            if isinstance(type_, TensorType) and type_.rank > 1:
                own = (Argument("self", Ref(name), False),)
                yield Node(f"{name}.dense", "aten.contiguous.default", own, (name,))


def _writes(node: Node) -> bool:
    """Whether a node writes to what it is given; only in programs that could not be made functional."""
    if node.functional or node.target in operators.SCALAR or is_higher_order(node.target):
        return False
    return bool(operators.written(node, operators.resolve(node.target))[0])


def _fits(dtype: DType, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether oneDNN takes such operands: all of one type, and on the CPU."""
    wanted = torch_dtype(dtype)
    operands = [weight] if bias is None else [weight, bias]
    if not onednn.takes(wanted):
        return False
    return weight.numel() > 0 and all(x.dtype is wanted and x.is_cpu for x in operands)


def _pair(value: Any, across: int | None) -> list[int] | None:
    """Two numbers, from one or two; None where they are not known. `across`: the first, for a line."""
    found = [value] if type(value) is int else list(value) if isinstance(value, tuple) else []
    if not found or any(type(number) is not int for number in found) or len(found) > 2:
        return None
    if across is not None:
        return [across, *found] if len(found) == 1 else None
    return found * 2 if len(found) == 1 else found


def _reshaped(how: str, name: str, of: Ref, result: str) -> Node:
    """A view with an axis of size one more, or less, in place 2."""
    own = (Argument("self", of, False), Argument("dim", 2, False))
    return Node(name, f"aten.{how}", own, (result,))


def _for_any_strides(node: Node) -> Node:
    target = of_any_strides(node.target)
    if target is None:
        return node
    names = [argument.name for argument in operators.resolve(target)._schema.arguments]
    args = tuple(argument._replace(name=name) for argument, name in zip(node.args, names, strict=True))
    return replace(node, target=target, args=args)
