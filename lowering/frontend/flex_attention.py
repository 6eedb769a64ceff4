"""`flex_attention` in an exported graph, which torch cannot write down, as the operators that eager runs.

Only this module touches torch's implementation, which promises nothing.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from lowering.frontend.errors import ExportError, root_cause
from lowering.frontend.exported import Exported, ExportedPass
from lowering.host.tracing import TRACING

if TYPE_CHECKING:
    from torch.fx import GraphModule


# Where a node comes from.
_ORIGIN = ("stack_trace", "nn_module_stack")


def without_flex_attention(given: Exported) -> Exported:
    """The program, in which each `flex_attention` is what torch computes on the CPU in its place. Raises
    ExportError."""
    import torch

    target, module = torch.ops.higher_order.flex_attention, given.module
    if not any(node.target is target for node in module.graph.nodes):
        return given
    # The module's tensors are shared; only its graph is another.
    made = torch.fx.GraphModule(module, copy.deepcopy(module.graph))
    try:
        for node in made.graph.find_nodes(op="call_function", target=target):
            _expand(made, node)
    except (AssertionError, KeyError, AttributeError) as problem:
        raise ExportError(f"torch cannot serialise the graph: {root_cause(problem)}") from None
    made.recompile()
    return Exported(given.program, made)


EXPAND_FLEX_ATTENTION = ExportedPass(
    "expand-flex-attention",
    without_flex_attention,
    "Put the operators that eager runs on the CPU in the place of each flex_attention.",
    required=True,
)


def _expand(module: GraphModule, node: Any) -> None:
    import torch
    from torch._higher_order_ops.flex_attention import math_attention
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils import _pytree as pytree

    leaves: list[Any]
    leaves, spec = pytree.tree_flatten(node.args)
    graphs = {n: getattr(module, str(n.target)) for n in leaves if _is_node(n) and n.op == "get_attr"}
    graphs = {n: value for n, value in graphs.items() if isinstance(value, torch.nn.Module)}
    operands = list(dict.fromkeys(leaf for leaf in leaves if _is_node(leaf) and leaf not in graphs))

    def attention(*values: Any) -> Any:
        known = {**graphs, **dict(zip(operands, values, strict=True))}
        given = [known[leaf] if _is_node(leaf) else leaf for leaf in leaves]
        return math_attention(*pytree.tree_unflatten(given, spec))

    with TRACING:
        traced = make_fx(attention)(*(operand.meta["val"] for operand in operands))
    with module.graph.inserting_before(node):
        held: dict[Any, Any] = dict(zip(traced.graph.find_nodes(op="placeholder"), operands, strict=True))
        for inner in traced.graph.nodes:
            if inner.op == "get_attr":
                held[inner] = _number(module, inner, getattr(traced, str(inner.target)))
            elif inner.op == "call_function":
                held[inner] = module.graph.node_copy(inner, held.__getitem__)
            if inner in held:
                held[inner].meta |= {key: node.meta[key] for key in _ORIGIN if key in node.meta}
    returned: Any = traced.graph.output_node().args[0]
    results = [held[result] for result in returned]
    for user in list(node.users):
        # The signature may name it.
        user.target, user.args = torch.ops.aten.alias.default, (results[user.args[1]],)
    module.graph.erase_node(node)
    for unused in graphs:
        if not unused.users:
            module.graph.erase_node(unused)


def _number(module: GraphModule, node: Any, value: Any) -> Any:
    """A constant of one element, as an operator: a graph's own tensors cannot be written down."""
    import torch

    assert value.numel() == 1, "the reference implementation has constants of several elements"
    made = module.graph.call_function(
        torch.ops.aten.full.default, (list(value.shape), value.item()), {"dtype": value.dtype}
    )
    made.meta = {"val": value, **node.meta}
    return made


def _is_node(value: Any) -> bool:
    import torch

    return isinstance(value, torch.fx.Node)
