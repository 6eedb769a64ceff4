"""Convolutions and products by oneDNN: what is packed, what is not, and that it computes what eager does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from expecttest import assert_expected_inline
from torch import nn

import bridge
from bridge.compilation import compile_configured
from bridge.compiled.compiled import Compiled
from bridge.configuration import ATEN, Configuration
from bridge.verification.compare import compare
from bridge.verification.tolerances import rounding_of
from lowering.targets.aten import onednn
from lowering.targets.aten.prepacking import can_fuse
from lowering.targets.aten.program import AtenProgram
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.runtime.fakes import node, tensor

PACKED = Configuration(ATEN, packed=True)
CONVOLUTION, PRODUCT = "mkldnn._convolution_pointwise", "mkldnn._linear_pointwise"


class Of(nn.Module):
    """A function of some layers and an input."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.weight = nn.Parameter(torch.randn(8, 6))
        self.bias = nn.Parameter(torch.randn(6))
        self.function = function

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(self, *args)


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm whose numbers are not those of a new one."""
    found = nn.BatchNorm2d(channels)
    for numbers in (found.weight, found.bias, found.running_mean, found.running_var):
        assert numbers is not None
        nn.init.uniform_(numbers, 0.5, 1.5)
    return found


def chain(*layers: nn.Module) -> Of:
    """One layer after the other."""
    return Of(lambda own, x: nn.Sequential(*own.layers)(x), *layers)


def shortcut(own: Of, x: torch.Tensor) -> torch.Tensor:
    first, second, last = own.layers
    return (second(first(x)) + last(x)).relu_()


def gelu_of_tanh(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3.0))))


IMAGE = (2, 3, 8, 8)
ROWS = (4, 8)
# A name: the module, the input's sizes, the targets after packing that matter here.
CASES: dict[str, tuple[Callable[[], Of], tuple[int, ...], dict[str, int]]] = {
    "convolution": (
        lambda: chain(nn.Conv2d(3, 4, 3, padding=1, stride=2)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1},
    ),
    "one that is wide": (
        lambda: chain(nn.Conv2d(3, 4, (1, 3), padding=(0, 2), dilation=(1, 2), bias=False)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1},
    ),
    "norm and activation": (
        lambda: chain(nn.Conv2d(3, 4, 3, bias=False), norm(4), nn.Hardswish()),
        IMAGE,
        {f"{CONVOLUTION}.default": 1, "aten.batch_norm.default": 0, "aten.hardswish.default": 0},
    ),
    "depthwise, with bias": (
        lambda: chain(nn.Conv2d(3, 6, 3, groups=3), norm(6), nn.SiLU(inplace=True)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1, "aten.silu_.default": 0},
    ),
    "two that are added": (
        lambda: Of(shortcut, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(3, 4, 1)),
        IMAGE,
        {f"{CONVOLUTION}.default": 2, f"{CONVOLUTION}.binary": 1, "aten.add.Tensor": 0},
    ),
    "one that is read twice": (
        lambda: Of(lambda own, x: (y := own.layers[0](x)).sigmoid() + y, nn.Conv2d(3, 4, 3)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1, "aten.sigmoid.default": 1},
    ),
    "one that is returned": (
        lambda: Of(lambda own, x: ((y := own.layers[0](x)), y.tanh()), nn.Conv2d(3, 4, 3)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1, "aten.tanh.default": 1},
    ),
    "along a line": (
        lambda: chain(nn.Conv1d(3, 4, 3, padding=1, stride=2), nn.GELU()),
        (2, 3, 9),
        {f"{CONVOLUTION}.default": 1, "aten.conv1d.default": 0, "aten.gelu.default": 0},
    ),
    "along a line, dilated, of groups, summed": (
        lambda: Of(lambda own, x: (own.layers[0](x) + x[..., 2:-2]).mT, nn.Conv1d(4, 4, 3, 1, 0, 2, 2)),
        (2, 4, 9),
        {f"{CONVOLUTION}.default": 1, "aten.add.Tensor": 1},
    ),
    "attention beside it": (
        lambda: Of(
            lambda own, x: F.scaled_dot_product_attention(*[own.layers[0](x).flatten(2)] * 3),
            nn.Conv2d(3, 4, 3),
        ),
        IMAGE,
        {f"{CONVOLUTION}.default": 1},
    ),
    "attention that drops, beside it": (
        lambda: Of(
            lambda own, x: (
                F.scaled_dot_product_attention(*[own.layers[0](x).flatten(2)] * 3, dropout_p=0.5) * 0
            ),
            nn.Conv2d(3, 4, 3),
        ),
        IMAGE,
        {f"{CONVOLUTION}.default": 0},
    ),
    "views of what has channels last": (
        lambda: Of(
            lambda own, x: own.layers[0](x).view(2, 4, -1) @ own.layers[0](x).flatten(2).mT,
            nn.Conv2d(3, 4, 3),
        ),
        IMAGE,
        {f"{CONVOLUTION}.default": 2, "aten.view.default": 0},
    ),
    "a flat result": (
        lambda: Of(lambda own, x: own.layers[0](x).flatten(2), nn.Conv2d(3, 4, 3)),
        IMAGE,
        {f"{CONVOLUTION}.default": 1},
    ),
    "linear": (lambda: chain(nn.Linear(8, 6)), (2, 3, 8), {f"{PRODUCT}.default": 1}),
    "linear, gelu": (
        lambda: chain(nn.Linear(8, 6), nn.GELU()),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.gelu.default": 0},
    ),
    "linear, gelu by tanh": (
        lambda: chain(nn.Linear(8, 6, bias=False), nn.GELU("tanh")),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.gelu.default": 0},
    ),
    "linear, gelu spelled out": (
        lambda: Of(lambda own, x: gelu_of_tanh(own.layers[0](x)), nn.Linear(8, 6)),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.tanh.default": 0, "aten.mul.Tensor": 0, "aten.gelu.default": 0},
    ),
    "linear, and an activation of a view": (
        lambda: Of(
            lambda own, x: F.gelu(torch.addmm(own.bias, x, own.weight).view(2, 2, 6)).unsqueeze(0).tanh()
        ),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.gelu.default": 0, "aten.tanh.default": 1},
    ),
    "linear, and a view that is read twice": (
        lambda: Of(lambda own, x: (y := own.layers[0](x).view(2, 2, 6)).tanh() + y, nn.Linear(8, 6)),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.tanh.default": 1},
    ),
    "linear, and a view that is returned": (
        lambda: Of(lambda own, x: ((y := own.layers[0](x).view(2, 2, 6)).tanh(), y), nn.Linear(8, 6)),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.tanh.default": 1},
    ),
    "linear, sum": (
        lambda: Of(lambda own, x: x + own.layers[0](x), nn.Linear(8, 8)),
        ROWS,
        {f"{PRODUCT}.binary": 1, "aten.add.Tensor": 0},
    ),
    "sum that repeats rows": (
        lambda: Of(lambda own, x: own.layers[0](x) + x[:1, :6], nn.Linear(8, 6)),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.add_.Tensor": 1},
    ),
    "one that a branch reads": (
        lambda: Of(
            lambda own, x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (own.layers[0](x),)), nn.Linear(8, 6)
        ),
        ROWS,
        {f"{PRODUCT}.default": 1},
    ),
    "addmm": (
        lambda: Of(lambda own, x: torch.addmm(own.bias, x, own.weight)),
        ROWS,
        {f"{PRODUCT}.default": 1},
    ),
    "scaled addmm": (
        lambda: Of(lambda own, x: torch.addmm(own.bias, x, own.weight, alpha=2)),
        ROWS,
        {"aten.addmm.default": 1},
    ),
    "matmul": (lambda: Of(lambda own, x: x @ own.weight), (2, 3, 8), {f"{PRODUCT}.default": 1}),
    "a vector": (lambda: Of(lambda own, x: x @ own.weight), (8,), {"aten.matmul.default": 1}),
    "relu, for the sake of NaN": (
        lambda: chain(nn.Linear(8, 6), nn.ReLU()),
        ROWS,
        {f"{PRODUCT}.default": 1, "aten.relu_.default": 1},
    ),
    "transposed": (
        lambda: chain(nn.ConvTranspose2d(3, 4, 3)),
        IMAGE,
        {f"{CONVOLUTION}.default": 0, f"{PRODUCT}.default": 0},
    ),
    "random numbers, which follow the strides": (
        lambda: Of(
            lambda own, x: torch.rand_like(own.layers[0](x)) * 0 + own.layers[0](x), nn.Conv2d(3, 4, 3)
        ),
        IMAGE,
        {f"{CONVOLUTION}.default": 0, "aten.conv2d.default": 2},
    ),
}


def targets(compiled: Compiled) -> Counter[str]:
    """How often each target is called by a program that is all on ATen."""
    (executable,) = compiled.executor.loaded.on_host
    return Counter(node.target for node in executable.nodes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_is_packed_and_equals_eager(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    make, sizes, wanted = CASES[name]
    module = make().eval().to(dtype)
    x = torch.randn(sizes, dtype=dtype)
    lowered = bridge.lower(module, (x,))
    compiled = compile_configured(lowered, PACKED)
    found = targets(compiled)
    if onednn.takes(dtype):
        assert {target: found[target] for target in wanted} == wanted
    else:
        assert not any(map(is_onednns, found))
    expected = module(x)
    for _ in range(2):
        for got, want in zip(as_tuple(compiled(x)), as_tuple(expected), strict=True):
            row = compare(name, got, want, rounding_of(lowered.program))
            assert row.passed, row


def is_onednns(target: str) -> bool:
    """Whether a target is an operator of oneDNN's own."""
    return "mkldnn" in target


@pytest.mark.parametrize(
    ("dtype", "packed"), [(torch.float32, True), (torch.bfloat16, False), (torch.float64, False)], ids=str
)
def test_what_onednn_lacks_on_a_processor_is_eagers(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, packed: bool
) -> None:
    """A processor for which oneDNN has no bfloat16, whatever this one is."""
    monkeypatch.setattr(onednn, "takes", lambda asked: asked is torch.float32)
    for module, x in (
        (chain(nn.Conv2d(3, 4, 3), norm(4), nn.Flatten(), nn.Linear(144, 5)), torch.randn(IMAGE)),
        (nn.LSTM(5, 6), torch.randn(3, 4, 5)),
    ):
        module, x = module.eval().to(dtype), x.to(dtype)
        compiled = compile_configured(bridge.lower(module, (x,)), PACKED)
        assert any(map(is_onednns, targets(compiled))) is packed
        torch.testing.assert_close(compiled(x), module(x))


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_what_is_no_number_stays_none() -> None:
    module = chain(
        nn.Conv2d(3, 4, 1), nn.Hardsigmoid(), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Hardswish(), nn.GELU()
    )
    x = torch.randn(IMAGE)
    x[0] = torch.nan
    compiled = compile_configured(bridge.lower(module, (x,)), PACKED)
    torch.testing.assert_close(compiled(x), module(x), equal_nan=True)


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_other_sizes_than_the_examples(batch: int) -> None:
    module = chain(nn.Conv2d(3, 4, 3), norm(4), nn.Flatten(), nn.Linear(144, 5), nn.Tanh()).eval()
    shapes = {"args": ({0: torch.export.Dim("batch", min=0, max=64)},)}
    exported = torch.export.export(module, (torch.randn(IMAGE),), dynamic_shapes=shapes)
    x = torch.randn(batch, 3, 8, 8)
    torch.testing.assert_close(compile_configured(bridge.lower(exported), PACKED)(x), module(x))


def test_a_weight_that_changes_is_not_packed() -> None:
    def function(own: Of, x: torch.Tensor) -> torch.Tensor:
        own.counts.add_(1)
        return F.linear(x, own.counts)

    module = Of(function)
    module.register_buffer("counts", torch.randn(6, 8))
    lowered = bridge.lower(module, (torch.randn(ROWS),))
    compiled = compile_configured(lowered, PACKED)
    assert targets(compiled)[f"{PRODUCT}.default"] == 0
    for _ in range(3):
        x = torch.randn(ROWS)
        torch.testing.assert_close(compiled(x), module(x))


def test_an_input_that_is_a_weight_is_not_packed() -> None:
    module = Of(lambda own, x, w: F.linear(x, w))
    x, w = torch.randn(ROWS), torch.randn(6, 8)
    compiled = compile_configured(bridge.lower(module, (x, w)), PACKED)
    assert targets(compiled)[f"{PRODUCT}.default"] == 0
    torch.testing.assert_close(compiled(x, w * 2), module(x, w * 2))


def test_nothing_is_packed_beside_a_write() -> None:
    """The layer would run where its activation stands, and read what was written meanwhile."""

    def function(own: Of, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        z = own.layers[0](y)
        y.add_(1)
        return torch.tanh(z) + y.sum()

    program = bridge.lower(Of(function, nn.Linear(8, 6)), (torch.randn(ROWS),)).program
    layer = next(node for node in program.graph.nodes if node.target == "aten.linear.default")
    weights = {name: torch.randn(6, 8) if "weight" in name else torch.randn(6) for name in layer.refs()}
    alone = AtenProgram(program.graph, (layer,), frozenset({"clone"}), weights, ())
    assert can_fuse(alone)
    assert not can_fuse(replace(alone, nodes=program.graph.nodes))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_lstm_is_packed_and_equals_eager(
    dtype: torch.dtype, batch_first: bool, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    module = nn.LSTM(5, 6, 2, batch_first=batch_first, bidirectional=bidirectional).eval().to(dtype)
    x = torch.randn(3, 4, 5, dtype=dtype)
    states = tuple(torch.randn(4 if bidirectional else 2, 3 if batch_first else 4, 6) for _ in range(2))
    states = tuple(state.to(dtype) for state in states)
    compiled = compile_configured(bridge.lower(module, (x, states)), PACKED)
    layers = (4 if bidirectional else 2) if onednn.takes(dtype) else 0
    assert targets(compiled)["aten.mkldnn_rnn_layer.default"] == layers
    wanted = module(x, states)
    for _ in range(2):
        got = compiled(x, states)
        torch.testing.assert_close(got, wanted)
        assert got[0].stride() == wanted[0].stride()


@pytest.mark.parametrize("options", [{"proj_size": 3}, {"bias": False}, {"dtype": torch.float64}], ids=str)
def test_other_lstms_are_eagers(options: dict[str, Any]) -> None:
    module = nn.LSTM(5, 6, **options).eval()
    x = torch.randn(3, 4, 5, dtype=options.get("dtype", torch.float32))
    compiled = compile_configured(bridge.lower(module, (x,)), PACKED)
    assert targets(compiled)["aten.lstm.input"] == 1
    torch.testing.assert_close(compiled(x), module(x))


needs_onednn = pytest.mark.skipif(not onednn.takes(torch.float32), reason="oneDNN is not there")


@needs_onednn
def test_a_convolution_with_its_norm_and_its_activation_becomes_one_call() -> None:
    nodes = [
        node("aten.conv2d.default", "c", input="%x", weight="%w"),
        node(
            "aten.batch_norm.default",
            "n",
            input="%c",
            weight=None,
            bias=None,
            running_mean="%mean",
            running_var="%var",
            training=False,
            momentum=0.1,
            eps=1e-5,
            cudnn_enabled=False,
        ),
        node("aten.silu.default", "y", self="%n"),
    ]
    types = {"x": tensor(1, 3, 8, 8), **dict.fromkeys(("c", "n", "y"), tensor(1, 4, 6, 6))}
    types |= {"w": tensor(4, 3, 3, 3), "mean": tensor(4), "var": tensor(4)}
    constants = {"w": torch.ones(4, 3, 3, 3), "mean": torch.zeros(4), "var": torch.ones(4)}
    given = segment(nodes, types, ["y"], constants)
    assert_expected_inline(
        rewritten("prepacking", given),
        """\
constant %mean: float32[4]
constant %var: float32[4]
constant %w: float32[4, 3, 3, 3]
%c: f32[1, 4, 6, 6] = aten.conv2d.default(input=%x, weight=%w)
%n: f32[1, 4, 6, 6] = aten.batch_norm.default(input=%c, weight=None, bias=None, running_mean=%mean, running_var=%var, training=False, momentum=0.1, eps=1e-05, cudnn_enabled=False)
%y: f32[1, 4, 6, 6] = aten.silu.default(self=%n)
=>
constant %y.bias: float32[4]
constant %y.weight: float32[4, 3, 3, 3]
%y: f32[1, 4, 6, 6] = mkldnn._convolution_pointwise.default(X=%x, W=%y.weight, B=%y.bias, padding=[0, 0], stride=[1, 1], dilation=[1, 1], groups=1, attr='swish', scalars=[], algorithm='')
%y: f32[1, 4, 6, 6] = aten.contiguous.default(self=%y)  # node y.dense
""",  # noqa: E501 - a node is a line, as the IR prints it
    )


@needs_onednn
def test_a_product_and_a_sum_become_one_call() -> None:
    nodes = [
        node("aten.addmm.default", "p", "%b", "%x", "%w"),
        node("aten.add.Tensor", "y", self="%z", other="%p"),
    ]
    types = {"x": tensor(4, 8), "w": tensor(8, 6), "b": tensor(6)}
    types |= dict.fromkeys(("p", "z", "y"), tensor(4, 6))
    given = segment(nodes, types, ["y"], {"w": torch.ones(8, 6), "b": torch.ones(6)})
    assert_expected_inline(
        rewritten("prepacking", given),
        """\
constant %b: float32[6]
constant %w: float32[8, 6]
%p: f32[4, 6] = aten.addmm.default(%b, %x, %w)
%y: f32[4, 6] = aten.add.Tensor(self=%z, other=%p)
=>
constant %y.bias: float32[6]
constant %y.weight: float32[6, 8]
%y: f32[4, 6] = mkldnn._linear_pointwise.binary(X=%x, other=%z, W=%y.weight, B=%y.bias, attr='add')
""",
    )
