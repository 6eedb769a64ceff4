"""A run of each call of the table of capabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import bridge
from bridge.errors import NotLowered
from bridge.ir import InvalidProgram
from lowering.host.weights import materialise
from tests.capabilities.scene import Scene, Tiny, X, logits, same, twice

CALLS: dict[str, Callable[[Scene], None]] = {}
C = Callable[[Scene], None]


def _call(name: str) -> Callable[[C], C]:
    return lambda run: CALLS.setdefault(name, run)


@_call("bridge.extract")
def _extract(at: Scene) -> None:
    with torch.device("meta"):
        program = bridge.extract(Tiny(0), (torch.empty(1, 3, 4, 4),), name="tiny")
    assert (program.name, list(program.inputs)) == ("tiny", ["x"])


@_call("bridge.read_program")
def _read_program(at: Scene) -> None:
    assert bridge.read_program(at.folder / "tiny.pt2") == at.program


@_call("bridge.read_schema")
def _read_schema(at: Scene) -> None:
    nodes = bridge.read_schema(at.folder / "tiny.pt2")["graph_module"]["graph"]["nodes"]
    assert "torch.ops.aten.linear.default" in [node["target"] for node in nodes]


@_call("bridge.Program.save")
@_call("bridge.Program.load")
def _save(at: Scene) -> None:
    assert bridge.Program.load(at.program.save(at.folder / "saved.json")) == at.program


@_call("bridge.Program.to_json")
@_call("bridge.Program.from_json")
def _json(at: Scene) -> None:
    assert bridge.Program.from_json(json.loads(json.dumps(at.program.to_json()))) == at.program


@_call("bridge.Program.validate")
def _validate(at: Scene) -> None:
    at.program.validate()
    with pytest.raises(InvalidProgram):
        replace(at.program, graph=replace(at.program.graph, nodes=())).validate()


@_call("bridge.Program.weights")
def _weights(at: Scene) -> None:
    assert {spec.fqn: spec.type.sizes for spec in at.program.weights.values()} == {
        "head.weight": (2, 48),
        "head.bias": (2,),
    }


@_call("bridge.Lowered.memory")
def _memory(at: Scene) -> None:
    memory = at.lowered.memory("xla")
    assert (memory.engine, memory.arguments, memory.results) == ("xla", X.nbytes, 2 * 4)


@_call("bridge.lower")
@_call("bridge.errors.NotLowered")
def _lower(at: Scene) -> None:
    assert not bridge.lower(at.folder / "tiny.pt2", strict=True).plan.reasons
    with pytest.raises(NotLowered, match="linalg_eigvals"):
        bridge.lower(at.folder / "gap.json", strict=True)


@_call("bridge.execute")
def _execute(at: Scene) -> None:
    found = bridge.execute(at.program, (X,), weights=at.other.state_dict(), engine="xla")
    same(found["logits"], logits(at.other))


@_call("bridge.validate_weights")
def _validate_weights(at: Scene) -> None:
    assert bridge.validate_weights(at.program, at.other.state_dict())
    few = {"head.weight": at.other.head.weight.detach()}
    assert bridge.validate_weights(at.program, few).missing == ("head.bias",)


@_call("bridge.read_weights")
def _read_weights(at: Scene) -> None:
    weights = bridge.read_weights(at.folder / "w.safetensors")
    found = dict(materialise(weights, weights.views))
    same(found["head.bias"], at.other.head.bias.detach())


@_call("bridge.load")
@_call("bridge.Lowered.compile")
def _load(at: Scene) -> None:
    artifact = at.lowered.save(at.folder / "loaded.bridge")
    same(bridge.load(artifact).compile("iree")(X)["logits"], logits(at.own))
    others = bridge.load(artifact, weights=at.folder / "w.safetensors")
    same(others.compile("xla")(X)["logits"], logits(at.other))


@_call("bridge.Compiled.set_weights")
def _set_weights(at: Scene) -> None:
    compiled = at.lowered.compile("xla")
    compiled.set_weights(at.folder / "w.safetensors")
    same(compiled(X)["logits"], logits(at.other))


@_call("bridge.Compiled.add_adapter")
@_call("bridge.Compiled.with_adapter")
@_call("bridge.Compiled.remove_adapter")
@_call("bridge.Compiled.adapters")
@_call("bridge.merged")
def _adapters(at: Scene) -> None:
    compiled = at.lowered.compile("xla")
    assert isinstance(compiled, bridge.Compiled)
    first, second = torch.ones(1, 48), torch.ones(2, 1)
    adapter = {"head.lora_A.weight": first, "head.lora_B.weight": second}
    compiled.add_adapter("one", adapter, 0.5)
    changed = Tiny(0)
    changed.load_state_dict(at.own.state_dict())
    with torch.no_grad():
        changed.head.weight += 0.5 * second @ first
    same(compiled.with_adapter("one")(X)["logits"], logits(changed))
    assert compiled.adapters == ("one",)
    compiled.remove_adapter("one")
    compiled.set_weights(bridge.merged(at.lowered, adapter, 0.5))
    same(compiled(X)["logits"], logits(changed))


@_call("bridge.verify")
def _verify(at: Scene) -> None:
    assert bridge.verify(at.lowered, (X,), engines=["xla"]).passed
    assert not bridge.verify(at.lowered, (X,), engines=["xla"], against=at.other).passed


@_call("bridge.Program.to_python")
def _to_python(at: Scene) -> None:
    names: dict[str, Any] = {}
    exec(at.program.to_python("Written"), names)
    written = names["Written"]()
    written.load_state_dict(at.own.state_dict())
    same(written(X)["logits"].detach(), logits(at.own))


@_call("bridge.Program.to_mermaid")
def _to_mermaid(at: Scene) -> None:
    assert at.program.to_mermaid().startswith("flowchart")


@_call("bridge.Lowered.to_mermaid")
def _lowered_to_mermaid(at: Scene) -> None:
    assert "segment 0" in at.lowered.to_mermaid()


@_call("bridge.Compiled.profile")
def _profile(at: Scene) -> None:
    compiled = at.lowered.compile("aten")
    assert isinstance(compiled, bridge.Compiled)
    assert compiled.profile(X).seconds > 0


@_call("bridge.Compiled.on_step")
def _on_step(at: Scene) -> None:
    seen: list[str] = []
    compiled = at.lowered.compile("xla")
    with compiled.on_step(lambda step: seen.extend(step.nodes)):
        compiled(X)
    assert seen == [node.name for node in at.lowered.functional.graph.nodes]


@_call("bridge.register_lowering")
def _register_lowering(at: Scene) -> None:
    @bridge.register_lowering("bridge_rule::twice", schema="(Tensor x) -> Tensor", replace=True)
    def rule(cx: Any, x: Any) -> Any:
        return x * 2

    lowered = bridge.lower(twice("bridge_rule"), strict=True)
    same(lowered.compile("xla")(X), 2 * X + 1)


@_call("bridge.register_decomposition")
def _register_decomposition(at: Scene) -> None:
    @bridge.register_decomposition("bridge_parts::twice", schema="(Tensor x) -> Tensor", replace=True)
    def parts(x: torch.Tensor) -> torch.Tensor:
        return x + x

    lowered = bridge.lower(twice("bridge_parts"), strict=True)
    same(lowered.compile("xla")(X), 2 * X + 1)


@_call("bridge.register_kernel")
def _register_kernel(at: Scene) -> None:
    @bridge.register_kernel("bridge_kernel::twice", schema="(Tensor x) -> Tensor", replace=True)
    def kernel(node: Any, constants: Any, device: str) -> Any:
        return lambda x: 2 * x

    same(bridge.execute(twice("bridge_kernel"), (X,)), 2 * X + 1)
