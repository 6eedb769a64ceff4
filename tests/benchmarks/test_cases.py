"""Every model of the benchmarks' table, at its toy size: it exports, and gives numbers that say something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.utils._pytree as pytree

from benchmarks.architectures import MobileNetV3
from benchmarks.cases import CASES, DTYPES
from benchmarks.measure import Expected, build, measure
from benchmarks.sides import Subject
from tests.models.model import Model


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_every_model_exports_and_its_rows_differ(name: str, dtype: torch.dtype) -> None:
    model = CASES[name].build(True, 2, dtype)
    args, kwargs = model.calls[0]
    (output,) = pytree.tree_leaves(model.module(*args, **kwargs))[:1]
    assert output.dtype is dtype
    assert output.shape[0] == 2
    assert output.isfinite().all()
    assert not output[0].equal(output[1])
    assert model.export().graph_signature.user_inputs


def test_mobilenet_has_the_published_weights() -> None:
    with torch.device("meta"):
        module = MobileNetV3()
    # As counted in the paper's own table of results: 5.4 million.
    assert sum(parameter.numel() for parameter in module.parameters()) == 5_483_032


@torch.no_grad()
def test_a_side_is_built_compared_and_timed(tmp_path: Path) -> None:
    subject = Subject(CASES["mlp"].build(True, 1, torch.float32), tmp_path)
    side = build(subject, "aten", Expected(subject))
    measure(subject, {"aten": side}, seconds=0, clock=iter(range(10**6)).__next__)
    row = side.row()
    assert row["differs"] == ""
    assert row["pairs"] == 8
    # By a clock that ticks once whenever it is read, a turn of either takes one tick for all its calls.
    assert row["ratio"] == [1, 1, 1]


@torch.no_grad()
def test_a_wrong_result_is_noticed(tmp_path: Path) -> None:
    subject = Subject(CASES["mlp"].build(True, 1, torch.float32), tmp_path)
    module = subject.model.module
    error, differs = Expected(subject).compare(lambda x: module(x) * 1.01)
    assert 0.001 < error < 0.1
    assert "call 1 output 0 differs in" in differs


@torch.no_grad()
def test_a_cache_that_is_not_kept_is_noticed(tmp_path: Path) -> None:
    subject = Subject(CASES["llama-decode"].build(True, 1, torch.float32), tmp_path)
    expected = Expected(subject)

    def forgetful(**kwargs: torch.Tensor) -> torch.Tensor:
        expected.restore()
        return subject.model.module(**kwargs)

    assert expected.compare(subject.model.module) == (0.0, "")
    expected.restore()
    assert "call 2 output 0 differs in" in expected.compare(forgetful)[1]


@torch.no_grad()
def test_other_numbers_of_outputs_are_noticed(tmp_path: Path) -> None:
    x = torch.ones(2)
    subject = Subject(Model(torch.nn.Identity(), (((x,), {}),)), tmp_path)
    assert Expected(subject).compare(lambda x: (x, x))[1] == "2 outputs, eager gives 1"
