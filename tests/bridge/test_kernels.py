"""Operators that torch does not have run by a kernel, a decomposition or a rule that the user registers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import torch

import bridge
from bridge import operators
from bridge.errors import BridgeError, UsageError
from bridge.ir import Node
from lowering.ir import custom_operators
from lowering.stablehlo import registry
from lowering.targets import kernels
from lowering.targets.errors import ExecutionError

# In this process torch has the operators of the one namespace, and a program names those of the other.
LIBRARY = torch.library.Library("bridge_here", "DEF")
SCALE = "(Tensor x, Tensor w, float factor=2.0) -> Tensor"
BUMP = "(Tensor(a!) x, float by=1.0) -> Tensor"
BOTH = "(Tensor x) -> (Tensor, Tensor)"


def _bump(x: torch.Tensor, by: float = 1.0) -> torch.Tensor:
    x.add_(by)
    return x * 2


for name, schema, function in (
    ("scale", SCALE, lambda x, w, factor=2.0: x * w * factor),
    ("bump", BUMP, _bump),
    ("both", BOTH, lambda x: (x + 1, x.sum(0))),
):
    LIBRARY.define(name + schema)
    LIBRARY.impl(name, function, "CPU")
    LIBRARY.impl(name, function, "Meta")
HERE: Any = torch.ops.bridge_here


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.full((5,), 3.0))
        self.register_buffer("seen", torch.zeros(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = HERE.both(x.sin())
        return HERE.scale(one, self.w, 4.0) + HERE.scale(two.expand(5), x) + HERE.bump(self.seen)


X = torch.linspace(0, 1, 5)


@cache
def exported() -> torch.export.ExportedProgram:
    return torch.export.export(Model(), (X,))


def wanted() -> torch.Tensor:
    return Model()(X).detach()


def program() -> bridge.Program:
    text = json.dumps(bridge.extract(exported()).to_json())
    return bridge.Program.from_json(json.loads(text.replace("bridge_here.", "bridge_nowhere.")))


def lowered() -> bridge.Lowered:
    return bridge.lower(program(), weights=Model().state_dict())


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations of a test are gone after it."""
    registry.load_families()
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    monkeypatch.setattr(registry, "_DECOMPOSITIONS", {})
    monkeypatch.setattr(kernels, "_FACTORIES", {})
    monkeypatch.setattr(custom_operators, "_DECLARED", {})
    yield
    registry.forget("nothing")


Made = list[tuple[str, dict[str, Any], str]]


def register(made: Made | None = None, **others: Callable[..., Any]) -> None:
    """Kernels of all three operators; each that is made is noted."""
    functions: dict[str, tuple[str, Callable[..., Any]]] = {
        "scale": (SCALE, lambda x, w, factor: x * w * factor),
        "bump": (BUMP, lambda x, by: _bump(x, by)),
        "both": (BOTH, lambda x: (x + 1, x.sum(0))),
    }

    def factory(function: Callable[..., Any]) -> Callable[[Node, Mapping[str, Any], str], Any]:
        def make(node: Node, constants: Mapping[str, Any], device: str) -> Any:
            if made is not None:
                made.append((node.name, dict(constants), device))
            return function

        return make

    for name, (schema, function) in functions.items():
        bridge.register_kernel(f"bridge_nowhere::{name}", schema=schema)(factory(others.get(name, function)))


def test_nothing_runs_that_nobody_registered() -> None:
    with pytest.raises(BridgeError, match=r"custom operator bridge_nowhere\.both\.default is not registered"):
        bridge.lower(program())


def test_kernels_run_where_no_rule_lowers() -> None:
    register()
    ready = lowered()
    assert ready.not_functional == ""
    compiled = ready.compile("aten")
    assert torch.equal(compiled(X), wanted())
    assert compiled.buffers["seen"].tolist() == [1] * 5
    assert compiled(X).tolist() == (wanted() + 2).tolist()
    assert bridge.verify(ready, engines=("aten",)).passed
    assert torch.equal(bridge.execute(program(), (X,), weights=Model().state_dict()), wanted())


def test_a_kernel_is_made_for_each_node_when_a_program_is_compiled(tmp_path: Any) -> None:
    made: Made = []
    register(made)
    path = lowered().save(tmp_path / "a.bridge")
    assert made == []
    compiled = bridge.load(path).compile("aten")
    assert [name for name, _, _ in made] == ["both", "scale", "scale_1", "bump"]
    assert {device for _, _, device in made} == {"cpu"}
    compiled(X)
    compiled(X)
    assert len(made) == 4
    constants = {name: values for name, values, _ in made}
    # A weight and a literal; a default; nothing of a buffer that is written.
    assert constants["scale"].keys() == {"w", "factor"}
    assert constants["scale"]["w"].tolist() == [3.0] * 5
    assert constants["scale_1"] == {"factor": 2.0}
    assert constants["bump"] == {"by": 1.0}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            lambda x, w, factor: (x * w * factor).double(),
            r"gave float64 \[5\] .*, and .* float32 \[5\]",
        ),
        (lambda x, w, factor: x[:3], r"gave float32 \[3\] on the cpu"),
        (lambda x, w, factor: 3, "gave a int, not a tensor"),
        (lambda x, w, factor: x / {}, r"node scale, bridge_nowhere\.scale\.default .*: TypeError: "),
        (lambda x, w: x, r"TypeError: .* unexpected keyword argument 'factor'"),
    ],
)
def test_a_kernel_that_is_wrong_is_named(result: Callable[..., Any], words: str) -> None:
    register(scale=result)
    compiled = lowered().compile("aten")
    with pytest.raises(ExecutionError, match=words):
        compiled(X)
    assert compiled.buffers["seen"].tolist() == [0] * 5


@pytest.mark.parametrize(
    ("made", "words"),
    [(None, "its function gives a NoneType, not a function"), (KeyError("table"), "KeyError: 'table'")],
)
def test_a_kernel_that_cannot_be_made_is_named(made: Any, words: str) -> None:
    register()

    @bridge.register_kernel("bridge_nowhere::both", replace=True)
    def both(node: Node, constants: Mapping[str, Any], device: str) -> Any:
        if isinstance(made, Exception):
            raise made
        return made

    with pytest.raises(
        ExecutionError, match=rf"node both .*test_kernels\.py:\d+\): the kernel of .* {words}"
    ):
        lowered().compile("aten")


def test_an_operator_of_torchs_registry_needs_no_schema() -> None:
    @bridge.register_kernel("bridge_here::both")
    def both(node: Node, constants: Mapping[str, Any], device: str) -> Callable[..., Any]:
        return lambda x: (x + 7, x.sum(0))

    assert bridge.lower(exported()).compile("aten")(X)[0] == wanted()[0] + 6 * 3 * 4


def test_decompositions_and_rules_of_operators_that_torch_does_not_have() -> None:
    register()

    @bridge.register_decomposition("bridge_nowhere::both", schema=BOTH)
    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x.sum(0)

    @bridge.register_lowering("bridge_nowhere::scale", schema=SCALE)
    def scale(cx: Any, x: Any, w: Any, factor: float) -> Any:
        return x * w * factor

    @bridge.register_decomposition("bridge_nowhere::bump", schema=BUMP)
    def bump(x: torch.Tensor, by: float) -> torch.Tensor:
        return _bump(x, by)

    ready = lowered()
    assert set(ready.placement.values()) == {"stablehlo"}
    assert torch.equal(ready.compile("xla")(X), wanted())


def test_a_decomposition_is_the_kernel_too_and_a_rule_is_not() -> None:
    for name, schema in (("both", BOTH), ("bump", BUMP)):
        function = {"both": lambda x: (x + 1, x.sum(0)), "bump": lambda x, by: _bump(x, by)}[name]
        bridge.register_decomposition(f"bridge_nowhere::{name}", schema=schema)(function)
    bridge.register_lowering("bridge_nowhere::scale", schema=SCALE)(lambda cx, x, w, factor: x * w * factor)
    with pytest.raises(ExecutionError, match=r"bridge_nowhere\.scale\.default has no kernel to run on ATen"):
        lowered().compile("aten")
    bridge.register_kernel("bridge_nowhere::scale")(
        lambda node, constants, device: lambda x, w, factor: x * w * factor
    )
    assert torch.equal(lowered().compile("aten")(X), wanted())


@pytest.mark.parametrize(
    ("name", "schema", "function", "words"),
    [
        ("aten::relu", None, len, "aten::relu is an operator of torch, which has its kernel"),
        ("relu", None, len, "is not an operator's name"),
        ("bridge_nowhere::x", None, 3, "int is not a function"),
        ("bridge_nowhere::x", "Tensor x", len, "'Tensor x' is not a schema; write it like"),
        ("bridge_nowhere::x", "(Tensor x", len, "is not a schema"),
        ("bridge_nowhere::x", "(Tensor) -> Tensor", len, "is not a schema"),
        (
            "bridge_nowhere::both",
            BOTH,
            len,
            r"has the kernel .* already; replace=True",
        ),
    ],
)
def test_registrations_that_are_refused(name: str, schema: str | None, function: Any, words: str) -> None:
    register()
    with pytest.raises(UsageError, match=words):
        bridge.register_kernel(name, schema=schema)(function)


def test_ops_knows_kernels() -> None:
    register()
    assert operators.operator("bridge_nowhere.both.default").how == "kernel"
    assert operators.describe("bridge_nowhere.both.default") == ["bridge_nowhere.both.default: kernel"]
