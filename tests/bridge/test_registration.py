"""Operators of other packages: rules and decompositions, entry points, and those that exist nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge.errors import BridgeError, UsageError
from lowering.ir.types import DType
from lowering.stablehlo import registry
from lowering.stablehlo.errors import OperatorError, Unsupported

LIBRARY = torch.library.Library("bridge_reg", "DEF")


def _define(schema: str, eager: Callable[..., Any], fake: Callable[..., Any] | None = None) -> None:
    LIBRARY.define(schema)
    name = schema.partition("(")[0]
    LIBRARY.impl(name, eager, "CPU")
    LIBRARY.impl(name, fake or eager, "Meta")


def _split(x: torch.Tensor, parts: int = 2) -> list[torch.Tensor]:
    return [piece.clone() for piece in x.chunk(parts)]


def _shift(x: torch.Tensor, by: torch.Tensor | None = None, scale: float = 2.0) -> torch.Tensor:
    return x * scale + (by if by is not None else 1)


def _bump(x: torch.Tensor, by: float = 1.0) -> torch.Tensor:
    x.add_(by)
    return x * 2


def _fill(x: torch.Tensor, y: torch.Tensor | None = None) -> None:
    x.fill_(3)
    if y is not None:
        y.fill_(4)


_define("scale(Tensor x, float factor=2.0) -> Tensor", lambda x, factor=2.0: x * factor)
_define("split(Tensor x, int parts=2) -> Tensor[]", _split)
_define("both(Tensor x) -> (Tensor, Tensor)", lambda x: (x + 1, x.sum(0)))
_define("shift(Tensor x, Tensor? by=None, *, float scale=2.0) -> Tensor", _shift)
_define("total(Tensor[] xs) -> Tensor", lambda xs: torch.stack(list(xs)).sum(0))
_define("bump(Tensor(a!) x, float by=1.0) -> Tensor", _bump)
_define(
    "fill(Tensor(a!) x, Tensor(b!)? y=None) -> ()",
    lambda x, y=None: (x.fill_(3), y is not None and y.fill_(4))[:0] or None,
)
OPS: Any = torch.ops.bridge_reg
X = torch.arange(6.0).reshape(2, 3)


@torch.library.custom_op("bridge_reg::modern", mutates_args=("y",))
def modern(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    y.add_(x)
    return y.sin()


@modern.register_fake
def _(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(y)


class Call(torch.nn.Module):
    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.fn(*tensors)


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations of a test are gone after it."""
    registry.load_families()
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    monkeypatch.setattr(registry, "_DECOMPOSITIONS", {})
    yield
    registry.forget("nothing")


def written(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = x.clone()
    z = OPS.bump(y[0], 3.0)
    return y, z


def filled(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y, z = x * 2, x * 3
    OPS.fill(y, z)
    OPS.fill(x)
    return y + z, x * 1


def modern_written(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = (x * 2).t().contiguous().t()
    return torch.ops.bridge_reg.modern(x, y), y


KINDS: dict[str, Callable[..., Any]] = {
    "default arguments": lambda x: OPS.scale(x) + OPS.scale(x, 3.0),
    "a list of results": lambda x: OPS.split(x.sin(), 2),
    "several results": lambda x: OPS.both(x),
    "an optional tensor": lambda x: OPS.shift(x) + OPS.shift(x, x.exp(), scale=0.5),
    "a list of tensors": lambda x: OPS.total([x, x.sin(), x.cos()]),
    "a written view": written,
    "written arguments": filled,
    "torch.library.custom_op": modern_written,
}


@pytest.mark.parametrize("decomposed", [False, True], ids=["exported", "decomposed"])
@pytest.mark.parametrize("kind", KINDS)
def test_custom_operators_run_on_aten(kind: str, decomposed: bool, tmp_path: Path) -> None:
    exported = torch.export.export(Call(KINDS[kind]), (X,))
    exported = exported.run_decompositions({}) if decomposed else exported
    lowered = bridge.lower(exported)
    assert lowered.not_functional == ""
    artifact = lowered.save(tmp_path / "a.bridge")
    for ready in (lowered.compile("xla"), lowered.compile("aten"), bridge.load(artifact).compile("xla")):
        given, like = X + 1, X + 1
        wanted = exported.module()(like)
        torch.testing.assert_close(ready(given), wanted)
        torch.testing.assert_close(given, like)


# ------------------------------------------------------------------------------------- rules, decompositions


def test_a_rule_lowers_an_operator_and_gets_its_defaults() -> None:
    seen: list[float] = []

    @bridge.register_lowering("bridge_reg::scale")
    def scale(cx: Any, x: Any, factor: float) -> Any:
        seen.append(factor)
        return x * factor

    lowered = bridge.lower(Call(KINDS["default arguments"]), (X,))
    assert set(lowered.placement.values()) == {"stablehlo"}
    assert set(seen) == {2.0, 3.0}
    for engine in ("xla", "iree", "aten"):
        torch.testing.assert_close(lowered.compile(engine)(X), X * 5)
    assert bridge.verify(Call(KINDS["default arguments"]), (X,), engines=["xla"]).passed


def test_a_rule_of_an_operator_that_writes_also_returns_what_it_writes() -> None:
    @bridge.register_lowering("bridge_reg::bump.default")
    def bump(cx: Any, x: Any, by: float) -> Any:
        return (x + by) * 2, x + by

    lowered = bridge.lower(Call(written), (X,))
    assert set(lowered.placement.values()) == {"stablehlo"}
    torch.testing.assert_close(lowered.compile("xla")(X), written(X))


def test_decompositions_are_traced() -> None:
    @bridge.register_decomposition("bridge_reg::shift")
    def shift(x: torch.Tensor, by: torch.Tensor | None, scale: float) -> torch.Tensor:
        return OPS.scale(x, scale) + (torch.ones_like(x) if by is None else by)

    @bridge.register_decomposition("bridge_reg::scale")
    def scale(x: torch.Tensor, factor: float = 9.0) -> torch.Tensor:
        return torch.mul(x, factor)

    @bridge.register_decomposition("bridge_reg::bump")
    def bump(x: torch.Tensor, by: float) -> torch.Tensor:
        x += by
        return x + x

    @bridge.register_decomposition("bridge_reg::split")
    def split(x: torch.Tensor, parts: int) -> list[torch.Tensor]:
        return [x[i : i + 1] for i in range(parts)]

    for kind in ("an optional tensor", "a written view", "a list of results", "default arguments"):
        lowered = bridge.lower(Call(KINDS[kind]), (X,))
        assert set(lowered.placement.values()) == {"stablehlo"}, kind
        torch.testing.assert_close(lowered.compile("xla")(X), KINDS[kind](X))


def test_what_is_registered_later_counts() -> None:
    fn = KINDS["default arguments"]
    assert any("aten" in place for place in bridge.lower(Call(fn), (X,)).placement.values())
    bridge.register_decomposition("bridge_reg::scale")(lambda x, factor: x * factor)
    assert set(bridge.lower(Call(fn), (X,)).placement.values()) == {"stablehlo"}
    bridge.register_decomposition("bridge_reg::scale", replace=True)(lambda x, factor: x * factor + 1)
    torch.testing.assert_close(bridge.lower(Call(fn), (X,)).compile("xla")(X), X * 5 + 2)


def test_a_rule_may_refuse() -> None:
    @bridge.register_lowering("bridge_reg::scale")
    def scale(cx: Any, x: Any, factor: float) -> Any:
        raise Unsupported("not of these")

    lowered = bridge.lower(Call(KINDS["default arguments"]), (X,))
    assert "aten: not of these" in lowered.placement.values()


def _one_sentence(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    "name", ["scale", "my.scale", "my::", "::op", "my::op.a.b", "a::b::c", "", "my::op()", 3]
)
def test_a_malformed_name_is_refused(name: Any) -> None:
    for register in (bridge.register_lowering, bridge.register_decomposition):
        with pytest.raises(UsageError, match="is not an operator's name") as caught:
            register(name)
        _one_sentence(caught.value)


def test_a_second_registration_is_refused() -> None:
    bridge.register_lowering("bridge_reg::scale")(lambda cx, x, factor: x)
    for register in (bridge.register_lowering, bridge.register_decomposition):
        with pytest.raises(UsageError, match=r"bridge_reg::scale has the rule .* already; replace=True"):
            register("bridge_reg::scale")(lambda cx, x, factor: x)
    bridge.register_decomposition("bridge_reg::scale", replace=True)(lambda x, factor: x)
    with pytest.raises(UsageError, match=r"has the decomposition .* already"):
        bridge.register_lowering("bridge_reg::scale")(lambda cx, x, factor: x)
    with pytest.raises(UsageError, match=r"aten::relu has the rule lowering.* already"):
        bridge.register_lowering("aten::relu")(lambda cx, self: self)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "int is not a function"),
        (lambda: None, "takes no context"),
        (lambda cx, *tensors: None, r"takes \*tensors; name the operator's arguments"),
        (lambda cx, **named: None, r"takes \*\*named; name the operator's arguments"),
    ],
)
def test_functions_that_cannot_be_rules_are_refused(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bridge.register_lowering("bridge_reg::scale")(function)


def _wrong(cx: Any, x: Any, factor: float) -> Any:
    return cx.convert(x, DType.FLOAT64)


def _misnamed(cx: Any, tensor: Any) -> Any:
    return tensor


def _broken(cx: Any, x: Any) -> Any:
    raise KeyError("no")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            _wrong,
            r"rule .*_wrong of bridge_reg\.scale\.default built float64\[2, 3\] .* says float32",
        ),
        (_misnamed, r"rule .*_misnamed of bridge_reg\.scale\.default takes 'tensor'; .* x, factor"),
        (_broken, r"node scale.*, bridge_reg\.scale\.default \(.*test_registration\.py.*KeyError: 'no'"),
    ],
)
def test_a_wrong_rule_is_an_error_that_names_both(rule: Any, message: str) -> None:
    if rule is not _broken:
        bridge.register_lowering("bridge_reg::scale")(rule)
    else:
        bridge.register_lowering("bridge_reg::scale")(lambda cx, x, factor: _broken(cx, x))
    with pytest.raises(OperatorError, match=message):
        bridge.lower(Call(KINDS["default arguments"]), (X,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x, factor: x.double(),
            r"of bridge_reg\.scale\.default gives float64\[2, 3\], the",
        ),
        (lambda x, factor: x[0], r"gives float32\[3\], the program says float32\[2, 3\]"),
        (lambda x: x, r"the decomposition .* of bridge_reg\.scale\.default fails: TypeError"),
    ],
)
def test_a_wrong_decomposition_is_an_error_that_names_both(function: Any, message: str) -> None:
    bridge.register_decomposition("bridge_reg::scale")(function)
    with pytest.raises(OperatorError, match=message):
        bridge.lower(Call(KINDS["default arguments"]), (X,))


# ------------------------------------------------------------------------------- imports and entry points

OPERATORS = """
import torch
library = torch.library.Library("bridge_ext", "DEF")
library.define("twice(Tensor x) -> Tensor")
library.impl("twice", lambda x: x * 2, "CPU")
library.impl("twice", lambda x: x * 2, "Meta")
"""
RULES = """
import bridge

def register():
    @bridge.register_lowering("bridge_ext::twice")
    def twice(cx, x):
        return x + x
"""
METADATA = "Metadata-Version: 2.1\nName: bridge-ext\nVersion: 1.0\n"


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package's operators, a file that uses them, and an artifact of it."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "ext_operators.py").write_text(OPERATORS)
    (folder / "ext_rules.py").write_text("import ext_operators\n" + RULES)
    script = (
        "import torch, bridge, ext_operators\n"
        "class Twice(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.ops.bridge_ext.twice(x.sin()) + 1\n"
        "torch.export.save(torch.export.export(Twice(), (torch.ones(3),)), 'model.pt2')\n"
        "bridge.lower('model.pt2').save('model.bridge')\n"
    )
    (folder / "make.py").write_text(script)
    np.save(folder / "x.npy", np.ones(3, np.float32))
    _python(folder, "make.py")
    return folder


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{folder}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


COMMANDS = {
    "lower": ("lower", "model.pt2", "-o", "out.bridge", "-e", "none"),
    "info": ("info", "model.pt2"),
    "ops": ("ops", "--missing", "model.pt2"),
    "verify": ("verify", "model.pt2", "-e", "xla"),
    "run": ("run", "model.pt2", "-i", "x.npy", "-e", "xla"),
    "run an artifact": ("run", "model.bridge", "-i", "x.npy", "-e", "xla"),
    "verify an artifact": ("verify", "model.bridge", "-e", "xla"),
}


# Runs the commands of a JSON file in one process; prints what each came to.
_EACH = """
import json
from tests.bridge.command_line import bridge_cli
print(json.dumps([bridge_cli(*command) for command in json.load(open("commands.json"))]))
"""


def _each(folder: Path, *more: str) -> dict[str, tuple[int, str]]:
    """By command: its exit status and its errors. `more`: arguments of each."""
    (folder / "commands.json").write_text(json.dumps([[*command, *more] for command in COMMANDS.values()]))
    done = _python(folder, "-c", _EACH)
    assert not done.returncode, done.stderr
    results = json.loads(done.stdout)
    return {name: (status, errors) for name, (status, _, errors) in zip(COMMANDS, results, strict=True)}


def test_an_operator_that_exists_nowhere_is_named_by_every_command(extension: Path) -> None:
    for command, (status, errors) in _each(extension).items():
        (line,) = errors.splitlines()
        assert status == 1, command
        assert re.match(
            r"bridge: node twice \(.*make\.py:4\): custom operator bridge_ext\.twice\.default is not "
            r"registered: import the module that defines it \(.*--import <module>\)$",
            line,
        )


def test_an_operator_is_there_once_its_module_is_imported(extension: Path) -> None:
    for command, (status, errors) in _each(extension, "--import", "ext_operators").items():
        # `ops --missing` fails where an operator runs on ATen.
        assert status == (command == "ops"), (command, errors)


def test_entry_points_are_loaded_when_a_program_names_their_namespace(
    extension: Path, tmp_path: Path
) -> None:
    info = extension / "bridge_ext-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    points = info / "entry_points.txt"
    try:
        points.write_text("[bridge.operators]\nbridge_ext = ext_rules:register\n")
        code = "import sys, bridge; assert 'ext_rules' not in sys.modules; l = bridge.lower('model.pt2'); "
        done = _python(extension, "-c", code + "print(set(l.placement.values()))")
        assert done.stdout == "{'stablehlo'}\n", done.stderr
        done = _python(extension, "-m", "bridge", "--quiet", "ops", "bridge_ext.twice.default")
        assert done.stdout == "bridge_ext.twice.default: rule in ext_rules\n", done.stderr
        done = _python(extension, "-m", "bridge", "--quiet", *COMMANDS["run an artifact"])
        assert done.returncode == 0, done.stderr
        points.write_text("[bridge.operators]\nbridge_ext = ext_missing\n")
        done = _python(extension, "-m", "bridge", "--quiet", *COMMANDS["lower"])
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line == (
            "bridge: the entry point bridge_ext = ext_missing of bridge-ext, for the operators "
            "bridge_ext::*, cannot be loaded: ModuleNotFoundError: No module named 'ext_missing'"
        )
    finally:
        points.unlink()
        (info / "METADATA").unlink()
        info.rmdir()


def test_imports_of_load_and_lower(extension: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(extension))
    with pytest.raises(BridgeError, match=r"node twice .*: custom operator bridge_ext\.twice"):
        bridge.lower(extension / "model.pt2")
    loaded = bridge.load(extension / "model.bridge", imports=["ext_operators"])
    torch.testing.assert_close(loaded.compile("xla")(torch.ones(3)), torch.ones(3).sin() * 2 + 1)
    assert bridge.lower(extension / "model.pt2", imports="ext_operators").plan.reasons
