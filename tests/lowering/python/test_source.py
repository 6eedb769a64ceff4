"""The source of small networks: what it says, and that its export is the program again."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.export import Dim

import bridge
from lowering.ir.location import Location
from lowering.ir.program import Argument, Node, Operator
from lowering.python.errors import NoSource
from tests.bridge.samples import NAMES, path_of
from tests.lowering.python import networks
from tests.lowering.python.reexport import canonical, exported_again, module_of

X = torch.ones(2, 4)
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "Stack": ((torch.ones(2, 5, 8), torch.zeros(5, 5)), {}),
    "Nested": (((X + 0, [X + 1, X + 2]),), {"named": {"k": X + 3}}),
    "Fields": ((X,), {}),
    "Writes": ((torch.ones(3),), {}),
    "Counts": ((torch.ones(3),), {}),
    "Shared": ((X,), {}),
    "Twice": ((X,), {}),
    "Modes": ((X,), {}),
    "Names": ((X,), {}),
    "Kinds": ((X,), {}),
    "Random": ((X,), {}),
    "Recurrent": ((torch.ones(2, 5, 4),), {}),
    "Sizes": ((torch.ones(4, 6), torch.ones(3)), {}),
}


def program_of(name: str) -> bridge.Program:
    module = getattr(networks, name)()
    args, kwargs = CALLS[name]
    auto = ({0: Dim.AUTO, 1: Dim.AUTO}, None) if name == "Sizes" else None
    return bridge.extract(module.train(name == "Random"), args, kwargs, name=name, dynamic_shapes=auto)


@pytest.mark.parametrize("name", CALLS)
def test_exports_as_the_program_again(name: str) -> None:
    program = program_of(name)
    source = program.to_python()
    assert canonical(exported_again(program, source, name, grad=True)) == canonical(program), source


@pytest.mark.parametrize("name", sorted({*NAMES} - {"branch"}))
def test_a_file_exports_as_the_program_again(name: str) -> None:
    program = bridge.read_program(path_of(name))
    source = program.to_python("Model")
    assert canonical(exported_again(program, source, "Model", grad=True)) == canonical(program), source


def test_a_functional_program_writes_at_the_end() -> None:
    """Its export writes by nodes, and is the program once it is made functional too."""
    exported = torch.export.export(networks.Counts(), (torch.ones(3),)).run_decompositions({})
    program = bridge.extract(exported)
    source = program.to_python("Model")
    assert "        self.total.copy_(add)\n        return mul_1\n" in source
    again = torch.export.export(module_of(source, "Model"), (torch.ones(3),)).run_decompositions({})
    assert canonical(bridge.extract(again)) == canonical(program), source


def body(source: str) -> str:
    """The classes, without the imports."""
    return source[source.index("class ") :]


def test_equal_blocks_share_a_class_and_run_in_a_loop() -> None:
    assert (
        body(program_of("Stack").to_python())
        == """\
class Block(nn.Module):
    def __init__(self, out_features: int, value: float) -> None:
        super().__init__()
        self.value = value
        self.norm = nn.LayerNorm(8)
        self.query = nn.Linear(8, 8, bias=False)
        self.hidden = nn.Linear(8, out_features)
        self.out = nn.Linear(out_features, 8)

    def forward(self, x: Tensor, attn_mask: Tensor) -> Tensor:
        norm = self.norm(x)
        query = self.query(norm)
        attention = F.scaled_dot_product_attention(query, norm, norm, attn_mask=attn_mask)
        return x + self.out(F.gelu(self.hidden(attention))) * self.value


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(8, 0.5), Block(16, 1.5), Block(24, 2.5)])
        self.head = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Dropout(0.1))
        self.eval()

    def forward(self, x: Tensor, mask: Tensor):
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)
"""
    )


def test_recurrent_layers_begin_with_zeros() -> None:
    source = program_of("Recurrent").to_python()
    assert "self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)" in source
    assert "self.gru = nn.GRU(6, 3, bias=False)" in source
    assert "lstm, (_, lstm_1) = self.lstm(x)" in source
    assert "gru, _ = self.gru(lstm)" in source
    assert "nn.GRU(3, 3)" not in source


def test_names_that_are_not_identifiers_are_quoted() -> None:
    assert body(program_of("Names").to_python("An 'odd\" name")).startswith("""\
class Class(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("__own", nn.Parameter(torch.empty(4)))
        self.register_parameter("for", nn.Parameter(torch.empty(4)))
        self.register_parameter('ü', nn.Parameter(torch.empty(4)))


class AnOddName(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("1 2", torch.zeros(4))
        self.add_module("a-b", nn.Linear(4, 4))
        self.add_module("class", Class())
""")


def test_a_structure_is_taken_apart_and_put_together() -> None:
    assert (
        body(program_of("Nested").to_python())
        == """\
class Nested(nn.Module):
    def forward(self, pair, named):
        add = pair[0] + pair[1][0]
        mul = pair[1][1] * named["k"]
        return collections.OrderedDict(
            {"sum": add, "more": [(mul,), None, 3, "text"], "same": {"a": pair[0], 1: pair[1][0]}}
        )
"""
    )


def test_weights_and_constants_load_and_give_the_same_results() -> None:
    model = networks.Writes()
    exported = torch.export.export(networks.Writes(), (torch.ones(3),))
    copy: Any = module_of(bridge.extract(exported).to_python("Model"), "Model")
    copy.load_state_dict(exported.state_dict, strict=True)
    copy.load_constants(exported.constants)
    for _ in range(2):
        x = torch.tensor([1.0, 2.0, 4.0])
        y = x.clone()
        torch.testing.assert_close(copy(y), model(x), rtol=0, atol=0)
        assert torch.equal(x, y)


def edited(change: Callable[[Node], Node]) -> bridge.Program:
    """The program of `Stack`, with its first node changed."""
    program = program_of("Stack")
    first, *rest = program.nodes
    return replace(program, graph=replace(program.graph, nodes=(change(first), *rest)))


HOSTILE = '"); import os; ("'


@pytest.mark.parametrize(
    "change",
    [
        lambda node: replace(node, name=HOSTILE, location=Location(HOSTILE, f"blocks.{HOSTILE}")),
        lambda node: replace(node, args=(*node.args[:3], Argument("bias", HOSTILE), *node.args[4:])),
        lambda node: replace(node, args=(*node.args, Argument("eps", "\\'\n\"" + HOSTILE, True))),
    ],
)
def test_text_of_a_program_stays_text(change: Callable[[Node], Node]) -> None:
    tree = ast.parse(edited(change).to_python(HOSTILE))
    imports = [item for item in ast.walk(tree) if isinstance(item, ast.Import | ast.ImportFrom)]
    assert {name.name for item in imports for name in item.names} <= {
        "annotations", "torch", "torch.nn.functional", "Tensor", "nn"
    }  # fmt: skip
    assert "os" not in {item.id for item in ast.walk(tree) if isinstance(item, ast.Name)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: replace(node, target="aten.x.y; import os"), "has no call in Python"),
        (lambda node: replace(node, target="os.system"), "has no call in Python"),
        (lambda node: replace(node, functional=True), "was made functional"),
        (lambda node: replace(node, args=(Argument("", Operator("aten.add.Tensor")),)), "runs a graph"),
        (lambda node: replace(node, args=(Argument("a b", 1, True),)), "is not a name of an argument"),
        (lambda node: replace(node, location=Location("", "blocks.forward")), "is called forward"),
    ],
)
def test_refuses_what_source_cannot_say(change: Callable[[Node], Node], message: str) -> None:
    with pytest.raises(NoSource, match=message):
        edited(change).to_python()


def test_refuses_other_operators_that_run_graphs() -> None:
    text = json.dumps(bridge.read_program(path_of("branch")).to_json())
    program = bridge.Program.from_json(json.loads(text.replace("higher_order.cond", "higher_order.scan")))
    with pytest.raises(NoSource, match=r"source cannot say the program: higher_order.scan runs a graph"):
        program.to_python()
