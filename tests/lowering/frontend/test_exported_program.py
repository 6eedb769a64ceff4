"""A program from memory is the one that its file holds, and its weights are the module's own."""

from __future__ import annotations

import gc
import json
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

from lowering.frontend.errors import ExportError
from lowering.frontend.exported_program import (
    export,
    from_exported_program,
    registered_types,
)
from lowering.frontend.pt2 import read
from lowering.ir.json import from_json, to_json
from lowering.ir.program import Graph, InputKind, OutputKind
from lowering.ir.tree import flatten_call, namedtuple_fields, unflatten
from lowering.ir.types import DType


class Function(nn.Module):
    """A module that computes one function; it has one parameter, so that there is state."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(4.0))
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def cond(self: Function, x: Any) -> Any:
    return torch.cond(
        x.sum() > 0, lambda x: (x.sin(), (x * self.scale).cos()), lambda x: (x.cos(), x - 1), (x,)
    )


def while_loop(self: Function, x: Any) -> Any:
    from torch._higher_order_ops.while_loop import while_loop as loop

    return loop(lambda i, x: i < 5, lambda i, x: (i + 1, x * 1.5), (torch.tensor(0), x))


def scan(self: Function, x: Any) -> Any:
    from torch._higher_order_ops.scan import scan as scan_

    return scan_(lambda carry, x: (carry + x, carry * 2), torch.zeros(4), x)


def many(self: Function, x: Any) -> Any:
    values, indices = x.topk(2)
    pieces = x.chunk(3)
    return values, indices, pieces[0] + 1, x.split([1, 3], 1)[1], torch.max(x, 1).values


def with_none(self: Function, x: Any) -> Any:
    return x[None, :, [0, 2]], torch.stack([x, x]), None, 3, "text"


def attention(self: Function, x: Any) -> Any:
    q = x[None, None].contiguous()
    return nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True, scale=0.5)


def factories(self: Function, x: Any) -> Any:
    empty = torch.full((2, 2), float("inf"), dtype=torch.float64, device="cpu")
    return empty, torch.zeros_like(x, memory_format=torch.contiguous_format), x.to(torch.bfloat16), x * 1j


def no_grad(self: Function, x: Any) -> Any:
    with torch.no_grad():
        y = x * self.scale
    return y + 1


def nested(self: Function, batch: Any, *, shift: Any) -> Any:
    return OrderedDict(y=batch["a"] + shift, pair=(batch["b"][0], [batch["b"][1]]))


def sym(self: Function, x: Any) -> Any:
    return x.view(-1), x.shape[0] * 2, torch.full((x.shape[0] // 2,), x.shape[0] / 2)


def item(self: Function, x: Any) -> Any:
    n = x.sum().to(torch.int64).item()
    torch._check(n >= 0)
    torch._check(n < 100)
    return torch.arange(n), x.sum().item() * 2.0


def literals(self: Function, x: Any, n: Any, flag: Any, mode: Any, rate: Any, nothing: Any) -> Any:
    return x * n if flag and mode == "a" and nothing is None else x * rate


def mutation(self: Function, x: Any) -> Any:
    x.add_(1)
    return x * 2


torch.manual_seed(0)
X = torch.randn(6, 4)
CASES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "cond": (cond, (X,), {}),
    "while_loop": (while_loop, (X,), {}),
    "scan": (scan, (X,), {}),
    "many": (many, (X,), {}),
    "with_none": (with_none, (X,), {}),
    "attention": (attention, (X,), {}),
    "factories": (factories, (X,), {}),
    "no_grad": (no_grad, (X,), {}),
    "nested": (nested, ({"b": [X, X + 1], "a": X},), {"shift": X}),
    "dynamic": (sym, (X,), {}),
    "derived": (lambda self, x, y: x + y[: x.shape[0]], (X, torch.randn(12, 4)), {}),
    "item": (item, (X.abs(),), {}),
    "literals": (literals, (X, 3, True, "a", 0.5, None), {}),
    "mutation": (mutation, (X.clone(),), {}),
}
DIM = Dim("m", min=4, max=30)
DYNAMIC = {"dynamic": {"args": ({0: DIM},)}, "derived": {"args": ({0: DIM}, {0: 2 * DIM})}}


def exported(name: str) -> Any:
    function, args, kwargs = CASES[name]
    return export(Function(function).eval(), args, kwargs, DYNAMIC.get(name))


@pytest.mark.parametrize("name", CASES)
def test_memory_and_file_agree(name: str, tmp_path: Path):
    program = exported(name)
    ours, weights = from_exported_program(program)
    torch.export.save(program, tmp_path / "m.pt2")
    theirs, stored = read(tmp_path / "m.pt2")
    assert ours == theirs
    assert weights.views.keys() == stored.views.keys()
    for key, view in weights.views.items():
        other = stored.views[key]
        assert (view.dtype, view.sizes, view.strides, view.offset) == (
            other.dtype,
            other.sizes,
            other.strides,
            other.offset,
        )
        assert np.array_equal(weights.storages[view.storage].open(), stored.storages[other.storage].open())


@pytest.mark.parametrize("name", CASES)
def test_targets_and_nodes_are_the_graphs(name: str):
    """Counted against torch's own graph, getitem aside, which names outputs."""
    import operator

    program = exported(name)
    ours, _ = from_exported_program(program)
    calls = [n for n in program.graph.nodes if n.op == "call_function" and n.target is not operator.getitem]
    assert [node.name for node in ours.graph.nodes] == [node.name for node in calls]
    for node, call in zip(ours.graph.nodes, calls, strict=True):
        assert node.target.rpartition(".")[2] in str(call.target)
    assert [spec.name for spec in ours.signature.inputs] == [
        spec.arg.name for spec in program.graph_signature.input_specs
    ]


def test_structures_are_those_of_the_call():
    program, _ = from_exported_program(exported("nested"))
    _, args, kwargs = CASES["nested"]
    leaves = flatten_call(args, kwargs, program.signature.in_spec)
    assert [spec.name for spec in program.signature.inputs[1:]] == [
        "args_0_b_0",
        "args_0_b_1",
        "args_0_a",
        "shift",
    ]
    assert leaves[0] is X
    assert leaves[2] is X
    assert len(leaves) == 4
    result = unflatten(["y", "p", "q"], program.signature.out_spec)
    assert result == OrderedDict(y="y", pair=("p", ["q"]))
    assert type(result) is OrderedDict


def test_kinds_of_inputs_and_outputs():
    program, _ = from_exported_program(exported("literals"))
    kinds = [spec.kind for spec in program.signature.inputs]
    assert kinds == [InputKind.PARAMETER, InputKind.USER] + [InputKind.LITERAL] * 5
    assert [spec.literal for spec in program.signature.inputs[2:]] == [3, True, "a", 0.5, None]
    program, _ = from_exported_program(exported("with_none"))
    assert [spec.value for spec in program.signature.outputs[2:]] == [None, 3, "text"]


def test_dynamic_sizes_ranges_hints_and_guards():
    program, _ = from_exported_program(exported("derived"))
    (symbol,) = program.ranges
    assert program.ranges[symbol] == (4, 30)
    assert program.hints[symbol] == 6
    assert any("==" in guard.text and "2*" in guard.text for guard in program.guards)


def test_branches_read_only_their_inputs():
    program, _ = from_exported_program(exported("cond"))
    branches = [
        arg.value for node in program.graph.nodes for arg in node.args if isinstance(arg.value, Graph)
    ]
    assert len(branches) == 2
    assert all(len(branch.outputs) == 2 for branch in branches)


def test_weights_are_the_modules_memory():
    module = nn.Linear(4, 4)
    _, weights = from_exported_program(export(module, (X,)))
    view = weights.views["weight"]
    array = weights.storages[view.storage].open()
    assert array.ctypes.data == module.weight.data_ptr()
    assert not array.flags.writeable
    with torch.no_grad():
        module.weight[0, 0] = 7.0
    assert array.view(np.float32)[0] == 7.0


def test_weights_outlive_the_module():
    def made() -> Any:
        module = nn.Linear(4, 4)
        with torch.no_grad():
            module.weight.fill_(3.0)
        return from_exported_program(export(module, (X,)))[1]

    weights = made()
    gc.collect()
    array = weights.storages[weights.views["weight"].storage].open()
    del weights
    gc.collect()
    assert (array.view(np.float32) == 3.0).all()


def test_tied_weights_views_and_constants():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.register_buffer("kept", torch.arange(12.0)[2:10:2])
            self.register_buffer("lost", torch.ones(4, dtype=torch.int64), persistent=False)
            self.constant = torch.tensor([1.0, 2.0, 3.0, 4.0])

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x)) + self.kept + self.lost + self.constant

    program, weights = from_exported_program(export(Tied(), (X,)))
    views = weights.views
    assert views["a.weight"].storage == views["b.weight"].storage
    assert (views["kept"].strides, views["kept"].offset) == ((2,), 2)
    assert weights.storages[views["kept"].storage].nbytes == 48
    assert views["lost"].dtype is DType.INT64
    by_fqn = {spec.fqn: spec for spec in program.signature.inputs}
    assert (by_fqn["kept"].persistent, by_fqn["lost"].persistent) == (True, False)
    assert by_fqn["constant"].kind is InputKind.CONSTANT


def test_a_conjugate_weight_has_its_own_bytes():
    class Conjugate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([1 + 2j, 3 - 4j]).conj())

        def forward(self, x: Any) -> Any:
            return x * self.w

    _, weights = from_exported_program(export(Conjugate(), (torch.ones(2),)))
    view = weights.views["w"]
    assert list(weights.storages[view.storage].open().view(np.complex64)) == [1 - 2j, 3 + 4j]


def test_mutated_buffers_and_inputs():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(4))

        def forward(self, x: Any) -> Any:
            self.count.add_(1)
            x.mul_(2)
            return x + self.count

    program = export(Counter(), (X.clone(),)).run_decompositions({})
    translated, _ = from_exported_program(program)
    kinds = [(spec.kind, spec.destination) for spec in translated.signature.outputs]
    assert kinds == [
        (OutputKind.BUFFER_MUTATION, "count"),
        (OutputKind.INPUT_MUTATION, "x"),
        (OutputKind.USER, None),
    ]


# ------------------------------------------------------------------------------------------------ refusals


def test_a_context_that_cannot_be_written():
    from torch.utils import _pytree as pytree

    class Bag:
        def __init__(self, item: Any) -> None:
            self.item = item

    def with_keys(bag: Bag) -> Any:
        return [(pytree.GetAttrKey("item"), bag.item)], object

    pytree.register_pytree_node(
        Bag, lambda bag: ([bag.item], object), lambda items, _: Bag(*items), flatten_with_keys_fn=with_keys
    )
    program = export(Function(lambda self, bag: bag.item + 1), (Bag(X),))
    with pytest.raises(
        ExportError, match="in_spec has a container that torch cannot write down: register it"
    ):
        from_exported_program(program)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weight: weight.to_sparse(), "'scale' is torch.sparse_coo"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "'scale' is quantized"),
        (lambda weight: weight[:2], r"'scale' is float32\[4\] in the graph, but its weight is float32\[2\]"),
    ],
)
def test_weights_that_cannot_be_views(change: Any, words: str):
    program = exported("no_grad")
    program.state_dict["scale"] = change(program.state_dict["scale"].detach())
    with pytest.raises(ExportError, match=words) as caught:
        from_exported_program(program)
    assert "\n" not in str(caught.value)


def test_a_graph_that_torch_cannot_serialise():
    program = exported("no_grad")
    node = next(node for node in program.graph.nodes if node.op == "call_function")
    node.kwargs = {"strange": object()}
    with pytest.raises(ExportError, match="torch cannot serialise the graph") as caught:
        from_exported_program(program)
    assert "\n" not in str(caught.value)


class Box:
    """At module level, since torch.export.save pickles the example inputs."""

    def __init__(self, item: Any, label: str) -> None:
        self.item, self.label = item, label


Spot = namedtuple("Spot", ["x", "y"])


def test_types_registered_with_torch(tmp_path: Path):
    from torch.utils import _pytree as pytree

    pytree.register_pytree_node(
        Box,
        lambda box: ([box.item], box.label),
        lambda items, label: Box(*items, label),
        serialized_type_name="tests.Box",
        flatten_with_keys_fn=lambda box: ([(pytree.GetAttrKey("item"), box.item)], box.label),
    )
    pytree._register_namedtuple(Spot, serialized_type_name="tests.Spot")
    made = export(Function(lambda self, box: [Box(Spot(box.item + 1, box.item), box.label)]), (Box(X, "in"),))
    program, _ = from_exported_program(made)
    torch.export.save(made, tmp_path / "m.pt2")
    assert read(tmp_path / "m.pt2")[0] == program
    assert from_json(json.loads(json.dumps(to_json(program)))) == program
    assert namedtuple_fields(program.signature.out_spec) == {"tests.Spot": ("x", "y")}
    types = registered_types(program.signature.in_spec, program.signature.out_spec)
    assert types.keys() == {"tests.Box", "tests.Spot"}
    assert flatten_call((Box(1, "in"),), {}, program.signature.in_spec, types) == [1]
    (box,) = unflatten([1, 2], program.signature.out_spec, types)
    assert (type(box), box.label, type(box.item), box.item) == (Box, "in", Spot, (1, 2))


def test_versions_are_recorded():
    program, _ = from_exported_program(exported("many"))
    assert program.torch_version == torch.__version__
    assert program.schema_version[0] == 8


def test_torch_return_types_come_back_as_what_they_are() -> None:
    class Sorted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.sort(-1), {"best": x.max(0)}

    import bridge

    x = torch.randn(3, 4)
    compiled = bridge.lower(Sorted(), (x,)).compile("aten")
    got, want = compiled(x), Sorted()(x)
    assert type(got[0]) is torch.return_types.sort
    assert type(got[1]["best"]) is torch.return_types.max
    torch.testing.assert_close(tuple(got[0]), tuple(want[0]))
    torch.testing.assert_close(got[1]["best"].indices, want[1]["best"].indices)
