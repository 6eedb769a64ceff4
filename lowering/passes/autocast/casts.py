"""The casts that eager makes inside a region under `torch.autocast`, written out.

The graph of a region holds the operators as the model calls them, with their dtypes under autocast. The casts
of their arguments are not recorded. The policies say where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.dims import clone_strides
from lowering.ir.facts.higher_order import AUTOCAST
from lowering.ir.program import Arg, Argument, Graph, Node, Ref, graphs_of, refs_of
from lowering.ir.types import DType, TensorType, ValueType
from lowering.passes.autocast.policy import LOWER_TYPES, Policy, policy_of
from lowering.passes.rewriting import substitute

# Kinds of devices for which autocast is on, and its dtype there.
Mode = Mapping[str, DType]


def entered(mode: Mode, node: Node) -> Mode:
    """The mode inside a node of `AUTOCAST`, given that around it."""
    device, dtype, enabled = (argument.value for argument in node.args[:3])
    others = {kind: held for kind, held in mode.items() if kind != device}
    if enabled is False or not isinstance(device, str):
        return others
    return {**others, device: dtype if isinstance(dtype, DType) else LOWER_TYPES.get(device, DType.BFLOAT16)}


def is_known(node: Node) -> bool:
    """Whether the casts of a node of `AUTOCAST` are.

    It is off, or for a kind of device that has policies here or none of its tensors.
    """
    device, _, enabled = (argument.value for argument in node.args[:3])
    graph = next(graphs_of(node))
    types = (type_ for type_ in graph.values.values() if isinstance(type_, TensorType))
    return enabled is False or device in LOWER_TYPES or all(type_.device.type != device for type_ in types)


def cast_arguments(
    node: Node, mode: Mode, values: dict[str, ValueType], unique: Callable[[str], str]
) -> list[Node]:
    """The node after the casts that eager makes for it, in a region of its own where they are inside."""
    devices = [
        device for device in mode if any(type_.device.type == device for type_ in _tensors(node, values))
    ]
    if not devices:
        return [node]
    found = [(device, _decided(node, device, mode[device], values)) for device in devices]
    if len(found) > 1 and any(policy is not Policy.NOTHING for _, policy in found):
        return in_regions(node, {device: mode[device] for device in devices}, values)
    device, policy = found[0]
    if policy is Policy.INSIDE:
        return in_regions(node, {device: mode[device]}, values)
    if policy is Policy.DTYPE or policy is Policy.OVERLOAD:
        return [_with_dtype(node, policy, device, values)]
    to = _target(node, policy, device, mode[device], values)
    return [node] if to is None else _cast(node, device, to, values, unique)


def _decided(node: Node, device: str, lower: DType, values: Mapping[str, ValueType]) -> Policy:
    """The policy, its conditions on the results seen to."""
    policy = policy_of(node, device)
    results = [values.get(name) for name in node.results()]
    dtypes = {type_.dtype for type_ in results if isinstance(type_, TensorType)}
    if policy is Policy.LOWER_IF_LOW:
        return Policy.LOWER if dtypes == {lower} else Policy.NOTHING
    if policy is Policy.FLOAT32_IF_WIDE:
        return Policy.FLOAT32 if dtypes == {DType.FLOAT32} else Policy.NOTHING
    return policy


def _target(
    node: Node, policy: Policy, device: str, lower: DType, values: Mapping[str, ValueType]
) -> DType | None:
    if policy is Policy.LOWER:
        return lower
    if policy is Policy.FLOAT32:
        return DType.FLOAT32
    if policy is Policy.PROMOTE:
        eligible = [type_.dtype for type_ in _tensors(node, values) if _is_eligible(type_, device)]
        return DType.FLOAT32 if DType.FLOAT32 in eligible else lower
    return None


def _cast(
    node: Node, device: str, to: DType, values: dict[str, ValueType], unique: Callable[[str], str]
) -> list[Node]:
    casts: list[Node] = []
    made: dict[str, Ref] = {}

    def read(name: str) -> Arg:
        type_ = values.get(name)
        if not isinstance(type_, TensorType) or not _is_eligible(type_, device) or type_.dtype is to:
            return Ref(name)
        if name not in made:
            new = unique(f"{name}_{to.value}")
            arguments = (Argument("self", Ref(name)), Argument("dtype", to, keyword=True))
            casts.append(Node(new, "aten._to_copy.default", arguments, (new,), node.location))
            values[new] = replace(type_, dtype=to, strides=clone_strides(type_), offset=0)
            made[name] = Ref(new)
        return made[name]

    args = tuple(a._replace(value=substitute(a.value, read)) for a in node.args)
    return [*casts, replace(node, args=args)]


def _with_dtype(node: Node, policy: Policy, device: str, values: Mapping[str, ValueType]) -> Node:
    """The node with `dtype=float32`, if its first argument is eligible and none is given."""
    known = schema(node.target)
    first = values.get(name) if (name := next(refs_of(node.args[0].value), None)) is not None else None
    if known is None or not isinstance(first, TensorType):
        return node
    eligible = _is_eligible(first, device)
    dtype = Argument("dtype", DType.FLOAT32 if eligible else first.dtype, keyword=True)
    if policy is Policy.OVERLOAD:
        return replace(node, target=_WITH_DTYPE[node.target], args=(*node.args, dtype))
    if not eligible or known.bind(node.args).get("dtype") is not None:
        return node
    return replace(node, args=(*(a for a in node.args if a.name != "dtype"), dtype))


_WITH_DTYPE = {
    "aten.norm.Scalar": "aten.norm.ScalarOpt_dtype",
    "aten.norm.ScalarOpt_dim": "aten.norm.ScalarOpt_dim_dtype",
}


def in_regions(node: Node, mode: Mode, values: Mapping[str, ValueType]) -> list[Node]:
    """The node in a region of its own for each kind of device for which autocast is on."""
    for device, dtype in mode.items():
        read = list(dict.fromkeys(node.refs()))
        results = tuple(node.results())
        types = {name: values[name] for name in (*read, *results) if name in values}
        inside = Graph(
            tuple(map(Ref, read)), tuple(map(Ref, results)), (node,), types, name=f"{node.name}_region"
        )
        literals = (device, dtype, True, None, inside, *map(Ref, read))
        args = tuple(Argument("", value) for value in literals)
        node = Node(node.name, AUTOCAST, args, results, node.location)
    return [node]


def _tensors(node: Node, values: Mapping[str, ValueType]) -> Iterator[TensorType]:
    for name in node.refs():
        type_ = values.get(name)
        if isinstance(type_, TensorType):
            yield type_


def _is_eligible(type_: TensorType, device: str) -> bool:
    return type_.dtype.is_floating and type_.dtype is not DType.FLOAT64 and type_.device.type == device
