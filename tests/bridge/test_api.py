"""What a user can do wrong with `bridge.lower`: each is one sentence that says what to do."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge.errors import BridgeError, UsageError
from tests.bridge.samples import Counter, lowered, path_of

X = torch.ones(3)


def _refused(call: Callable[[], object], message: str, kind: type[Exception] = BridgeError) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("hello")
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "cut.pt2").write_bytes(path_of("mlp").read_bytes()[:3000])
    lowered("mlp").save(tmp_path / "a.bridge")
    for name, message in (
        ("none.pt2", "no such file"),
        ("text.pt2", "not a .pt2 file"),
        ("other.pt2", ""),
        ("cut.pt2", ""),
        (".", "is a directory|is a folder"),
        ("a.bridge", "is an artifact, which was lowered already; read it with bridge.load"),
    ):
        path = tmp_path / name
        _refused(lambda path=path: bridge.lower(path), f"{path}.*{message}")
        _refused(lambda path=path: bridge.lower(str(path)), f"{path}.*{message}")


class Broken(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("the model is\nbroken")


class Custom:
    """A container that nobody registered."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x


class Wrapping(torch.nn.Module):
    def forward(self, x: Any) -> torch.Tensor:
        return x.x if isinstance(x, Custom) else x


def test_modules_that_cannot_be_exported() -> None:
    _refused(lambda: bridge.lower(Counter()), "Counter: a module needs example arguments", UsageError)
    _refused(lambda: bridge.lower(Counter(), X), r"args is a Tensor; .* args=\(x,\)", UsageError)
    _refused(lambda: bridge.lower(Counter(), (X,), [1]), "kwargs is a list; give a dict", UsageError)
    _refused(
        lambda: bridge.lower(Broken(), (X,)),
        "torch.export cannot export Broken: ZeroDivisionError: the model is$",
    )
    _refused(lambda: bridge.lower(Counter(), (X, X)), "torch.export cannot export Counter: ")
    _refused(lambda: bridge.lower(Wrapping(), (Custom(X),)), "torch.export cannot export Wrapping: ")


def test_what_is_no_model() -> None:
    exported = torch.export.export(Counter(), (X,))
    _refused(lambda: bridge.lower(3), "int is not a model: give a .pt2 path", UsageError)
    _refused(lambda: bridge.lower(exported, (X,)), "an ExportedProgram was exported already", UsageError)
    _refused(lambda: bridge.lower(path_of("mlp"), (X,)), "a file was exported already", UsageError)
    _refused(lambda: bridge.lower(exported, model="m"), "ExportedProgram is none", UsageError)
    _refused(lambda: bridge.lower(path_of("mlp"), model="nope"), "nope")


def test_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong_syntax.py").write_text("def")
    (tmp_path / "raising.py").write_text("raise KeyError('a')")
    (tmp_path / "fine_module.py").write_text("")
    path = path_of("mlp")
    for name in ("no_such_module", "wrong_syntax", "raising", "..up", ""):
        _refused(
            lambda name=name: bridge.lower(path, imports=[name]), f"cannot import '{name}': ", UsageError
        )
    assert bridge.lower(path, imports="fine_module").program == lowered("mlp").program


def test_segments_that_have_no_stablehlo() -> None:
    _refused(lambda: lowered("mlp").stablehlo(1), "segment 1 does not exist: the plan has 1", UsageError)
    _refused(lambda: lowered("mlp").stablehlo(-1), "segment -1 does not exist", UsageError)
    _refused(lambda: lowered("data_dependent").stablehlo(0), "segment 0 runs on ATen", UsageError)
    assert "stablehlo." in lowered("mlp").stablehlo()


def test_the_function_stays_a_function_once_its_parts_are_imported() -> None:
    import bridge.artifact
    import bridge.verification.report

    for name in ("lower", "load", "verify"):
        assert callable(getattr(bridge, name))
        assert name in dir(bridge)
    with pytest.raises(AttributeError, match="module 'bridge' has no attribute 'nope'"):
        bridge.nope  # noqa: B018 - to look it up is what fails


def test_importing_bridge_costs_nothing() -> None:
    code = "import sys, bridge; print(sorted({'torch', 'jax', 'numpy', 'iree', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
