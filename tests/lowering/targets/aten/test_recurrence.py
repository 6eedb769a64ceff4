"""LSTMs become a node of oneDNN for each layer, on packed weights."""

from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowering.ir.types import contiguous
from lowering.targets.aten import onednn
from lowering.targets.aten.program import AtenProgram
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.runtime.fakes import F32, node, tensor

PARAMS = ("of_inputs", "of_states", "bias_inputs", "bias_states")


def lstm(constant: bool = True) -> AtenProgram:
    """One layer of 6 over rows of 5, in 4 steps of 3."""
    nodes = [
        node(
            "aten.lstm.input",
            ("y", "h", "c"),
            input="%x",
            hx=("%h0", "%c0"),
            params=tuple(f"%{name}" for name in PARAMS),
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=False,
            bidirectional=False,
            batch_first=False,
        )
    ]
    sizes = {"of_inputs": (24, 5), "of_states": (24, 6), "bias_inputs": (24,), "bias_states": (24,)}
    types = {name: contiguous(F32, size) for name, size in sizes.items()}
    types |= {"x": tensor(4, 3, 5), "y": tensor(4, 3, 6)}
    types |= dict.fromkeys(("h0", "c0", "h", "c"), tensor(1, 3, 6))
    tensors = {name: torch.ones(size) for name, size in sizes.items()} if constant else {}
    return segment(nodes, types, ["y", "h", "c"], tensors)


@pytest.mark.skipif(not onednn.takes(torch.float32), reason="oneDNN is not there")
def test_a_layer_is_a_node_of_onednn() -> None:
    assert_expected_inline(
        rewritten("lstm-prepacking", lstm()),
        """\
constant %bias_inputs: float32[24]
constant %bias_states: float32[24]
constant %of_inputs: float32[24, 5]
constant %of_states: float32[24, 6]
%y: f32[4, 3, 6], %h: f32[1, 3, 6], %c: f32[1, 3, 6] = aten.lstm.input(input=%x, hx=[%h0, %c0], params=[%of_inputs, %of_states, %bias_inputs, %bias_states], has_biases=True, num_layers=1, dropout=0.0, train=False, bidirectional=False, batch_first=False)
=>
constant %y.0.0: float32[1, 1, 5, 4, 6]
constant %y.0.1: float32[1, 1, 6, 4, 6]
constant %y.0.2: float32[24]
constant %y.0.3: float32[24]
%y.input: ? = aten.contiguous.default(self=%x)
%y.0.h: ? = aten.select.int(self=%h0, dim=0, index=0)
%y.0.c: ? = aten.select.int(self=%c0, dim=0, index=0)
%y.0.y: ?, %y.0.hy: ?, %y.0.cy: ?, %y.0.space: ? = aten.mkldnn_rnn_layer.default(input=%y.input, weight0=%y.0.0, weight1=%y.0.1, weight2=%y.0.2, weight3=%y.0.3, hx_=%y.0.h, cx_=%y.0.c, reverse=False, batch_sizes=[], mode=2, hidden_size=6, num_layers=1, has_biases=True, bidirectional=False, batch_first=False, train=False)  # node y.0
%h: f32[1, 3, 6] = aten.stack.default(tensors=[%y.0.hy], dim=0)
%c: f32[1, 3, 6] = aten.stack.default(tensors=[%y.0.cy], dim=0)
%y: f32[4, 3, 6] = aten.alias.default(self=%y.0.y)
""",  # noqa: E501 - a node is a line, as the IR prints it
    )


def test_weights_that_change_stay() -> None:
    before, _, after = rewritten("lstm-prepacking", lstm(constant=False)).partition("=>\n")
    assert before == after
