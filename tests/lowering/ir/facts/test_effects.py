"""Which calls of a random operator draw, and what follows."""

import pytest

from lowering.ir.facts.effects import draws, has_effect, sees_memory
from lowering.ir.program import Argument, Node, Ref

X = Argument("", Ref("x"))


def call(target, *args, **named):
    keywords = (Argument(name, value, True) for name, value in named.items())
    return Node("y", target, (*args, *keywords), ("y",))


ATTENTION = "aten.scaled_dot_product_attention.default"
SILENT = [
    call(ATTENTION, X, X, X),
    call(ATTENTION, X, X, X, dropout_p=0.0),
    call("aten._scaled_dot_product_flash_attention_for_cpu.default", X, X, X),
    call("aten.dropout.default", X, Argument("", 0.5), Argument("", False)),
    call("aten.native_dropout.default", X, Argument("", 0.5), Argument("", False)),
    call("aten.rrelu.default", X),
]
DRAWING = [
    call(ATTENTION, X, X, X, dropout_p=0.1),
    call(ATTENTION, X, X, X, dropout_p=Ref("p")),
    call("aten.dropout.default", X, Argument("", 0.5), Argument("", True)),
    call("aten.native_dropout.default", X, Argument("", 0.5), Argument("", None)),
    call("aten.rrelu.default", X, training=True),
    call("aten.bernoulli.p", X, Argument("", 0.0)),
    call("aten.rand_like.default", X),
]


@pytest.mark.parametrize("node", SILENT, ids=lambda node: node.target)
def test_without_dropout_nothing_is_drawn(node):
    assert not has_effect(node)
    assert not sees_memory(node)


@pytest.mark.parametrize("node", DRAWING, ids=lambda node: node.target)
def test_what_draws_has_an_effect_and_sees_memory(node):
    assert has_effect(node)
    assert sees_memory(node)


def test_an_operator_that_is_never_random_does_not_draw():
    from lowering.ir.aten import schema

    known = schema("aten.relu.default")
    assert known is not None
    assert not draws(call("aten.relu.default", X), known)
