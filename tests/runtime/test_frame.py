"""What steps share: scalars from nodes, handles or symbols, and tensors on their way into an engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import SymKind, SymType
from lowering.targets.target import CPU
from runtime.frame import Frame, Shared, import_tensor, read_scalar
from runtime.report import Report
from tests.runtime.fakes import FakeEngine, node, plan, program, tensor

TWICE = program({"x": tensor(3)}, [], ["%x"], {"n": SymType(SymKind.INT, Apply("Mul", (2, Symbol("s0"))))})
STRIDED = node("aten.as_strided.default", "y", self="%x", size=(3,), stride=(1,))


def shared() -> Shared:
    engine = FakeEngine(TWICE, plan(TWICE))
    made = Shared(TWICE.graph, {}, {}, None, Report(plan(TWICE), "fake"), packed=False)
    made.engines[np.ndarray] = engine
    return made


@pytest.mark.parametrize(
    ("host", "handles", "found"),
    [({"n": 5}, {"n": np.array(6)}, 5), ({}, {"n": np.array(6)}, 6), ({}, {}, 8)],
)
def test_a_scalar_is_what_a_node_computed_or_follows_from_symbols(host, handles, found) -> None:
    assert read_scalar(shared(), Frame(host, handles, {"s0": 4}, {}, []), "n") == found


def test_whether_nodes_see_memory() -> None:
    assert not shared().reads_memory
    strided = program({"x": tensor(3)}, [STRIDED], ["%y"], {"y": tensor(3)})
    report = Report(plan(strided), "fake")
    assert Shared(strided.graph, {}, {}, None, report, packed=False).reads_memory


@pytest.mark.parametrize(
    ("given", "copies"),
    [
        (torch.arange(16.0), 0),
        (torch.arange(32.0)[::2], 1),
        (torch.arange(17.0)[1:], 1),
        (torch.full((16,), 1j).conj(), 0),
        (np.arange(32, dtype=np.float32)[::2], 1),
    ],
    ids=["dense", "strided", "misaligned", "conjugate", "numpy's"],
)
def test_tensors_are_dense_and_aligned_for_an_engine(given, copies: int) -> None:
    engine, report = FakeEngine(TWICE, plan(TWICE)), Report(plan(TWICE), "fake")
    handle = import_tensor(engine, CPU, report, given)
    assert handle.flags.c_contiguous
    assert handle.ctypes.data % 64 == 0
    np.testing.assert_array_equal(handle, given.resolve_conj() if isinstance(given, torch.Tensor) else given)
    assert report.copies == copies
