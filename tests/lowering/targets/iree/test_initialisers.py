"""The initialiser of a binary: called by us, and not by IREE while it holds Python's lock."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bridge
from lowering.host.machine import unseal
from lowering.targets import get_engine
from lowering.targets.iree import executable
from lowering.targets.iree.initialisers import INITIALISER, without_initialiser


def test_a_binary_without_one_stays() -> None:
    assert without_initialiser(b"no such name") == b"no such name"


def test_it_is_renamed_wherever_it_is_named() -> None:
    before, after = b"\x06\x00\x00\x00__init\x00", b"\x06\x00\x00\x00__load\x00"
    assert without_initialiser(before + b"--" + before) == after + b"--" + after


def test_weights_are_packed_by_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What links the module runs nothing; the call after it does, and results are eager's."""
    layer, x = nn.Linear(64, 64).eval(), torch.randn(4, 64)
    lowered = bridge.lower(layer, (x,))
    compiled = lowered.compile("iree")
    (binary,) = lowered.binaries.values()
    iree = get_engine("iree")
    payload = unseal("iree", iree.version(), "cpu", binary.code)
    assert without_initialiser(payload) != payload
    invoked: list[str] = []

    class Context:
        def __init__(self, inner: object) -> None:
            self.inner = inner

        def invoke(self, function: object, *rest: object) -> None:
            invoked.append(function.name)  # pyright: ignore[reportAttributeAccessIssue]
            self.inner.invoke(function, *rest)  # pyright: ignore[reportAttributeAccessIssue]

    original = executable.rt.VmContext
    monkeypatch.setattr(executable.rt, "VmContext", lambda *given: Context(original(*given)))
    again = bridge.lower(layer, (x,))
    again.binaries.update(lowered.binaries)
    loaded = again.compile("iree")
    assert invoked == [INITIALISER]
    monkeypatch.undo()
    assert np.array_equal(loaded(x).numpy(), compiled(x).numpy())
