"""Modules and binaries that somebody doctored: a sentence before memory or a compiler is touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bridge
from bridge.binaries import Binary, cache_key
from bridge.lowered import Lowered
from bridge.vetting import vetted
from lowering.ir.bytecode import check_operations, operations
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.bridge.test_damage import reseal
from tests.fuzz.test_corpus import CORPUS

ENGINES = ("iree", "xla")


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2


@pytest.fixture(scope="module")
def lowered() -> Lowered:
    return bridge.lower(Twice(), (torch.ones(4, 8),))


@pytest.fixture
def artifact(lowered: Lowered, tmp_path: Path) -> Path:
    return lowered.save(tmp_path / "a.bridge")


def _bytecode(text: str) -> bytes:
    with hlo.make_context() as context, hlo.ir.Location.unknown():
        return hlo.serialize(hlo.ir.Module.parse(text, context))


def _main(arguments: str, results: str, body: str, attributes: str = "") -> str:
    text = f"func.func public @main({arguments}) -> ({results}) {{\n{body}\n}}"
    return f"module @segment_0 {attributes} {{ {text} }}"


X = "%x: tensor<4x8xf32>"
F = "tensor<4x8xf32>"
SAME = f"return %x : {F}"

CONSTANT = "%c = stablehlo.constant dense<1.0> : tensor<2xf32>\nreturn %c : tensor<2xf32>"
CONVERTED = f"%c = stablehlo.convert %x : ({F}) -> tensor<4x8xbf16>\nreturn %c : tensor<4x8xbf16>"
SLICED = f"%c = stablehlo.slice %x [0:4, 0:8] : (tensor<4x800xf32>) -> {F}\nreturn %c : {F}"
CALLED = f"%c = stablehlo.custom_call @system(%x) : ({F}) -> {F}\nreturn %c : {F}"
FED = f"""%t = stablehlo.create_token : !stablehlo.token
%c:2 = "stablehlo.infeed"(%t) : (!stablehlo.token) -> ({F}, !stablehlo.token)
return %c#0 : {F}"""

FORGED = {
    "a smaller result": (_main(X, "tensor<2xf32>", CONSTANT), "its @main gives tensor<2xf32> as number 0"),
    "another element type": (_main(X, "tensor<4x8xbf16>", CONVERTED), "its @main gives tensor<4x8xbf16>"),
    "fewer results": (_main(X, "", "return"), "its @main gives 0 tensors, and its ports are 1"),
    "a larger argument": (_main("%x: tensor<4x800xf32>", F, SLICED), "its @main takes tensor<4x800xf32>"),
    "a call of foreign code": (
        _main(X, F, CALLED),
        "it has the operation 'vhlo.custom_call_v1', which Bridge does not emit",
    ),
    "a talk to the host": (_main(X, F, FED), "it has the operation 'vhlo."),
    "an argument that is written": (
        _main(X + " {tf.aliasing_output = 0 : i32}", F, SAME),
        "an argument or a result of its @main has attributes",
    ),
    "an order to a compiler": (
        _main(X, F, SAME, "attributes {mhlo.num_partitions = 2 : i32}"),
        "it has the attribute 'mhlo.num_partitions'",
    ),
}


def _put(artifact: Path, code: bytes) -> None:
    (artifact / "modules/segment_0.mlirbc").write_bytes(code)
    reseal(artifact, "modules/segment_0.mlirbc")


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_forged_module_is_not_compiled(engine: str, name: str, artifact: Path) -> None:
    text, message = FORGED[name]
    _put(artifact, _bytecode(text))
    loaded = bridge.load(artifact)
    compiled = loaded.compile(engine)
    assert all(message in fallback for fallback in compiled.report.plan.reasons.values())
    x = torch.randn(4, 8)
    assert torch.equal(compiled(x), Twice()(x)), "the program, which nobody forged, runs on ATen"
    with pytest.raises(EngineError, match=r"of the artifact is not to be compiled: "):
        loaded.save(artifact.parent / "b.bridge")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["a smaller result", "fewer results", "a larger argument"])
def test_without_jax_the_types_are_read_as_well(
    name: str, engine: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what IREE's compiler makes; and XLA's binary says what it gives."""
    _put(artifact, _bytecode(FORGED[name][0]))
    module = replace(bridge.load(artifact).modules[0], foreign=False)
    instance, target = get_engine(engine), TargetOptions()
    message = "@main has other types than its ports" if engine == "iree" else "the binary gives|xla"

    def run() -> None:
        loaded = instance.load(instance.compile(module, target), module, target, {})
        loaded([instance.from_tensor(torch.ones(4, 8), target)])

    with pytest.raises(EngineError, match=message):
        run()


@pytest.mark.parametrize("name", FORGED)
def test_known_operations_go_to_iree_alone(name: str, lowered: Lowered) -> None:
    """The engine itself looks, whoever calls it."""
    module = replace(lowered.modules[0], code=_bytecode(FORGED[name][0]))
    if "vhlo" in FORGED[name][1]:
        with pytest.raises(EngineError, match="it has the operation 'vhlo"):
            get_engine("iree").compile(module, TargetOptions())


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"module { }",
        b"module { func.func @main() { return } hal.executable.source public @x { } }",
        b"ML\xefR",
        b"ML\xefR\x0dMLIR\x00",
        b"ML\xefR\x0dStableHLO_v1.8.0\x00\x83\xff",
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_bytecode_is_not_compiled(engine: str, code: bytes, artifact: Path) -> None:
    _put(artifact, code)
    reasons = bridge.load(artifact).compile(engine).report.plan.reasons
    assert all("is not to be compiled: it" in reason for reason in reasons.values())
    assert reasons


def test_other_dialects_and_resources_are_told() -> None:
    with hlo.make_context() as context, hlo.ir.Location.unknown():
        from io import BytesIO

        module = hlo.ir.Module.parse(_main(X, F, SAME), context)
        code = BytesIO()
        module.operation.write_bytecode(code)
    with pytest.raises(ValueError, match="is not portable StableHLO"):
        check_operations(code.getvalue())
    good = _bytecode(_main(X, F, SAME))
    check_operations(good)
    assert ("vhlo", "func_v1") in operations(good)
    for cut in range(len(good)):
        with suppress(ValueError):
            check_operations(good[:cut])
    with pytest.raises(ValueError, match="it uses the dialect 'vmvx'"):
        check_operations(good.replace(b"vhlo\0", b"vmvx\0"))


def test_a_forged_module_crashes_a_child_only(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.vetting._COMMAND", ("-c", "import os; os.abort()"))
    module = replace(bridge.load(artifact).modules[0], foreign=True)
    with pytest.raises(EngineError, match=r"reading it crashed \(SIGABRT\)"):
        vetted(module)


def test_a_module_that_is_read_for_good_is_refused(artifact: Path) -> None:
    """The fuzzer's finding: bytes with which MLIR's reader does not end."""
    line, _, code = (CORPUS / "modules-endless.module").read_bytes().partition(b"\n")
    inputs, outputs = (
        tuple(Port(f"v{at}", DType(dtype), tuple(sizes), None) for at, (dtype, sizes) in enumerate(side))
        for side in json.loads(line)
    )
    module = replace(
        bridge.load(artifact).modules[0], foreign=True, code=code, inputs=inputs, outputs=outputs
    )
    with pytest.raises(EngineError, match="reading it takes longer than any module of its size"):
        vetted(module)


def test_what_this_user_lowered_is_read_without_a_child(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.vetting._COMMAND", ("-c", "raise SystemExit('a child was asked')"))
    assert not bridge.load(artifact).modules[0].foreign
    assert vetted(bridge.load(artifact).modules[0]).code == bridge.load(artifact).modules[0].code
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps({**manifest, "signature": ""}))
    with pytest.raises(EngineError, match="a child was asked"):
        vetted(bridge.load(artifact).modules[0])
    assert not bridge.load(artifact, trust=True).modules[0].foreign


def test_a_stranger_s_artifact_is_written_anew_before_it_is_signed(artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps({**manifest, "signature": "0" * 64}))
    loaded = bridge.load(artifact)
    again = bridge.load(loaded.save(artifact.parent / "b.bridge"))
    assert loaded.modules[0].foreign
    assert not again.modules[0].foreign
    x = torch.randn(4, 8)
    for engine in ENGINES:
        assert torch.equal(loaded.compile(engine)(x), Twice()(x))


def _other(change: Callable[[tuple[Port, ...]], tuple[Port, ...]], module: Module) -> Module:
    return replace(module, outputs=change(module.outputs))


WRONG = {
    "larger": lambda ports: tuple(replace(port, sizes=(4, 1 << 20)) for port in ports),
    "of another type": lambda ports: tuple(replace(port, dtype=DType.FLOAT64) for port in ports),
    "of other sizes": lambda ports: tuple(replace(port, sizes=(8, 4)) for port in ports),
    "more": lambda ports: ports * 2,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wrong", WRONG)
def test_results_are_those_that_the_module_says(wrong: str, engine: str, lowered: Lowered) -> None:
    """A binary that is trusted may be another module's than the artifact says."""
    instance, target = get_engine(engine), TargetOptions()
    module = lowered.modules[0]
    binary = instance.compile(module, target)
    x = instance.from_tensor(torch.ones(4, 8), target)
    run = instance.load(binary, module, target, {})
    assert len(run([x])) == len(run([x])) == 1
    run = instance.load(binary, _other(WRONG[wrong], module), target, {})
    for _ in range(2):
        with pytest.raises(
            EngineError, match=f"{engine} segment_0: .*(the module says|not all results came)"
        ):
            run([x])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trusted_binary_of_another_module_gives_a_sentence(
    engine: str, lowered: Lowered, tmp_path: Path
) -> None:
    instance, target = get_engine(engine), TargetOptions()
    small = bridge.lower(torch.nn.ReLU(), (torch.ones(2),)).modules[0]
    code = instance.compile(replace(small, inputs=small.inputs), target)
    key = cache_key(lowered.modules[0], instance, target)
    binaries = {key: Binary(engine, instance.version(), "cpu", code)}
    doctored = Lowered(
        lowered.program,
        lowered.functional,
        lowered.plan,
        lowered.weights,
        "",
        True,
        lowered.modules,
        binaries,
    )
    path = doctored.save(tmp_path / "a.bridge")
    compiled = bridge.load(path, trust=True).compile(engine)
    with pytest.raises(EngineError):
        compiled(torch.ones(4, 8))
    shutil.rmtree(path)
