"""Higher-order operators: which only run their graphs, which decide about them, which give new tensors."""

from __future__ import annotations

from collections.abc import Mapping

AUTOCAST = "higher_order.wrap_with_autocast"
COND = "higher_order.cond"
GRAD = "higher_order.wrap_with_set_grad_enabled"
# It names its graph before the operands.
INVOKE_SUBGRAPH = "higher_order.invoke_subgraph"


def _named(names: str) -> frozenset[str]:
    return frozenset(f"higher_order.{name}" for name in names.split())


_MAPS = _named("map map_impl")

# They run their graph once. They serve other tools: recomputation, hints, quantisation, checks while
# exporting. Gradients are not computed here, so that their mode has no effect.
_WRAPPERS = _named(
    """
    wrap wrap_activation_checkpoint tag_activation_checkpoint strict_mode hints_wrapper invoke_quant
    invoke_quant_packed run_const_graph
    """
) | {GRAD, INVOKE_SUBGRAPH}

# They run their graphs as eager runs any code, so that a mode around them is a mode inside.
_CONTROL_FLOW = _named("while_loop while_loop_stack_output scan associative_scan") | _MAPS | {COND}

# No result shares elements with an operand.
_FRESH = _CONTROL_FLOW | _named("auto_functionalized auto_functionalized_v2 out_dtype")

# Positions of the arguments of which one is run on the operands.
_BRANCHES: Mapping[str, tuple[int, ...]] = {COND: (1, 2)}


def is_map(target: str) -> bool:
    """Whether an operator runs its graph on each row."""
    return target in _MAPS


def only_runs_its_graph(target: str) -> bool:
    """Whether an operator does no more than run its graph on its operands."""
    return target in _WRAPPERS


def is_control_flow(target: str) -> bool:
    """Whether an operator decides which of its graphs run, and how often."""
    return target in _CONTROL_FLOW


def gives_fresh(target: str) -> bool:
    """Whether the results of an operator never share elements with its operands."""
    return target in _FRESH


def branches(target: str) -> tuple[int, ...]:
    """The positions of the graphs of which an operator runs one; none where it does not choose."""
    return _BRANCHES.get(target, ())
