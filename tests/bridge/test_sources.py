"""What a model may be, and the sentence for what is not one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bridge.errors import BridgeError, UsageError
from bridge.sources import checked_call, exported_from, import_all, read
from tests.bridge.samples import path_of

X = torch.ones(2)


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


EXPORTED = torch.export.export(Doubled(), (X,))


def test_a_file_a_module_and_an_export_of_it_are_read() -> None:
    assert [n.target for n in read(EXPORTED)[0].graph.nodes] == ["aten.mul.Tensor"]
    assert [n.target for n in read(Doubled(), (X,))[0].graph.nodes] == ["aten.mul.Tensor"]
    assert read(path_of("mlp"))[0].graph.nodes


@pytest.mark.parametrize(
    ("source", "given", "message"),
    [
        (EXPORTED, {"args": (X,)}, "an ExportedProgram was exported already; it takes no example arguments"),
        ("a.pt2", {"args": (X,)}, "a.pt2: a file was exported already; it takes no example arguments"),
        (Doubled(), {}, "Doubled: a module needs example arguments to be exported with"),
        (Doubled(), {"args": X}, "args is a Tensor; give a tuple with one item per argument: args=(x,)"),
        (Doubled(), {"args": (X,), "model": "m"}, "model='m' chooses among the models of a file"),
        (3, {}, "int is not a model: give a .pt2 path, an ExportedProgram or a torch.nn.Module"),
    ],
)
def test_what_does_not_go_together(source: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(source, **given)
    assert str(caught.value).startswith(message)


def test_an_artifact_is_not_read_as_a_model(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="is an artifact, which was lowered already"):
        read(tmp_path)


def test_an_export_that_fails_is_one_sentence() -> None:
    with pytest.raises(BridgeError, match=r"^torch.export cannot export Branching: \w+: [^\n]*$"):
        exported_from(Branching(), (X,))


def test_a_call_is_a_tuple_and_a_dict() -> None:
    assert checked_call(None, None) == ((), {})
    assert checked_call([1], {"a": 2}) == ((1,), {"a": 2})
    with pytest.raises(UsageError, match="kwargs is a list"):
        checked_call((), [])  # pyright: ignore[reportArgumentType]


def test_a_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(UsageError, match="cannot import 'no_such_module': ModuleNotFoundError"):
        import_all("no_such_module")
