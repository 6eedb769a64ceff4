"""Methods against eager: each by itself, then in turn over the state that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import bridge
from bridge.compiled.compiled import Compiled
from bridge.errors import BridgeError, UsageError
from bridge.methods import LoweredMethods
from bridge.verification.methods import ROUNDS
from tests.bridge.command_line import ok


class Store(torch.nn.Module):
    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 4)
        self.register_buffer("total", torch.zeros(4))


class Add(torch.nn.Module):
    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.store.total += self.store.layer(x).sum(0)
        return self.store.total.sum()


class Read(torch.nn.Module):
    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def forward(self, scale: torch.Tensor) -> torch.Tensor:
        return self.store.total * scale


class Divide(torch.nn.Module):
    """Eager fails once the total is another."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def forward(self, scale: torch.Tensor) -> torch.Tensor:
        torch.ops.aten._assert_async.msg((self.store.total == 0).all(), "the total is not 0")
        return scale + self.store.total


def lowered(last: type[torch.nn.Module] = Read) -> LoweredMethods:
    store = Store().eval()
    export = torch.export.export
    return bridge.lower(
        {
            "add": export(Add(store), (torch.ones(2, 4),)),
            "last": export(last(store), (torch.ones(4),)),
        }
    )


def rows(methods: LoweredMethods, *engines: str) -> Mapping[str, Any]:
    report = bridge.verify(methods, engines=engines)
    return {row.engine: row for row in report.engines}


def test_each_method_and_all_in_turn() -> None:
    found = rows(lowered(), "aten")
    assert list(found) == ["aten: add", "aten: last", "aten: methods in turn"]
    assert all(row.passed for row in found.values())
    in_turn = [difference.name for difference in found["aten: methods in turn"].differences]
    assert f"round {ROUNDS}, last: output 0" in in_turn
    assert "round 1, add: buffer store.total after the call" in in_turn


def test_a_method_that_sees_a_state_of_its_own_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiled, "share_state", lambda self, state: None)
    found = rows(lowered(), "aten")
    assert found["aten: add"].passed
    assert found["aten: last"].passed
    wrong = [d.name for d in found["aten: methods in turn"].differences if not d.passed]
    assert {f"round {at}, last: output 0" for at in (1, 2, 3)} <= set(wrong)
    assert not any("add" in name for name in wrong)


def test_an_engine_that_fails_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no memory\nat all")

    methods = lowered()
    monkeypatch.setattr(LoweredMethods, "compile", fail)
    found = rows(methods, "aten")
    assert found["aten: methods in turn"].problem == "RuntimeError: no memory at all"


def test_eager_that_fails_in_turn_is_said() -> None:
    with pytest.raises(BridgeError, match=r"eager itself fails on these inputs: .*the total is not 0"):
        rows(lowered(Divide), "aten")


def test_an_artifact_of_methods_on_the_command_line(tmp_path: Any) -> None:
    lowered().save(tmp_path / "two.bridge")
    printed = ok("verify", tmp_path / "two.bridge", "-e", "xla,iree")
    for engine in ("xla", "iree"):
        assert f"| {engine}: methods in turn |" in printed
    assert "PASSED" in printed


def test_arguments_and_weights_are_for_one_method() -> None:
    given: dict[str, Any]
    for given in ({"args": (torch.ones(4),)}, {"sizes": [{"x.0": 3}]}, {"weights": {}}):
        with pytest.raises(UsageError, match="has several methods"):
            bridge.verify(lowered(), engines=("aten",), **given)
