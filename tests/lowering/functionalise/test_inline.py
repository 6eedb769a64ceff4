"""Which mode-setting operators are dissolved."""

from dataclasses import replace

import pytest
import torch

from lowering.functionalise import NotFunctional, functionalise
from lowering.functionalise.inline import AUTOCAST, GRAD, inline
from lowering.ir.program import Argument
from tests.lowering.functionalise.eager import Body, check, exported, inputs


def targets(graph):
    return [node.target for node in graph.nodes]


def modes(device, enabled):
    def function(state, x, y):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            product = x @ y.t()
        return product + 1

    return Body(function)


def no_grad(state, x, y):
    with torch.no_grad():
        add = x + y
        mul = add * 2
    with torch.no_grad():
        add_1 = mul + add
        state.add_(add_1)
    return add_1, mul, state + 1


def test_grad_modes_are_dissolved():
    module = Body(no_grad)
    module.weight = torch.nn.Parameter(torch.ones(1))
    program, _ = exported(module, inputs())
    assert GRAD in targets(program.graph)
    assert GRAD not in targets(inline(program.graph))
    check(module, inputs())


def test_autocast_that_is_off_is_dissolved():
    program, _ = exported(modes("cpu", False), inputs())
    assert targets(program.graph).count(AUTOCAST) == 1
    assert AUTOCAST not in targets(inline(program.graph))
    check(modes("cpu", False), inputs())


def test_autocast_for_an_absent_device_is_dissolved():
    program, _ = exported(modes("cpu", True), inputs())
    nodes = [
        replace(node, args=(Argument("", "cuda"), *node.args[1:])) if node.target == AUTOCAST else node
        for node in program.graph.nodes
    ]
    assert AUTOCAST in targets(inline(program.graph))
    assert AUTOCAST not in targets(inline(replace(program.graph, nodes=tuple(nodes))))


def test_autocast_that_is_on_stays():
    functional = check(modes("cpu", True), inputs())
    assert AUTOCAST in targets(functional.graph)


def test_a_write_after_autocast_to_what_it_may_return_is_refused():
    def function(state, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flat = state.view(-1)
        state.add_(1)
        return flat + 1

    program, weights = exported(Body(function), inputs())
    with pytest.raises(NotFunctional, match="shares its elements"):
        functionalise(program, weights)
