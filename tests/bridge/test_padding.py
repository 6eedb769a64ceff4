"""Padding to buckets: where it is proved, where it is stated, and in an artifact."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from bridge.errors import UsageError
from bridge.padding import batch_axes
from tests.bridge.command_line import ok, refused
from tests.bridge.environments import RUNTIME_ALONE
from tests.bridge.test_buckets import Masked
from tests.lowering.stablehlo.test_emit_dynamic import Attention
from tests.lowering.stablehlo.test_emit_dynamic import exported as attention

BATCH = torch.export.Dim("batch", max=200)


def exported(function: Any, *example: Any) -> Any:
    """A function of tensors that share their first axis."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(3))

        def forward(self, *given: torch.Tensor) -> Any:
            return function(self, *given)

    return torch.export.export(Model(), example, dynamic_shapes=(tuple({0: BATCH} for _ in example),))


def compiled(program: Any, engine: str = "xla", **options: Any) -> bridge.Compiled:
    made = bridge.lower(program).compile(engine, on_new_size="wait", **options)
    assert isinstance(made, bridge.Compiled)
    return made


def test_a_batch_is_proved_and_a_length_that_attends_is_not() -> None:
    batch, length = batch_axes(bridge.lower(attention()))
    assert (batch.name, batch.problem) == ("tokens.0", "")
    assert length.name == "tokens.1"
    assert "scaled_dot_product_attention" in length.problem
    assert "test_emit_dynamic.py:" in length.problem
    assert length.problem.endswith("multiplies rows by one another")


def counted(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.count.add_(x.sum(0))
    return x


MIXED = [
    (lambda m, x: x - x.mean(0), "sums over the rows"),
    (lambda m, x: torch.nn.functional.batch_norm(x, None, None, training=True), "sums over the rows"),
    (lambda m, x: x.flip(0), "reverses the order of the rows"),
    (lambda m, x: x.sort(0).values, "sorts the rows"),
    (lambda m, x: x.cumsum(0), "has an axis of -((-s"),
    (lambda m, x: x / x.shape[0], "computes with the batch size as a number"),
    (lambda m, x: x @ x.T @ x, "multiplies rows by one another"),
    (lambda m, x: x.prod(0), "reduces all rows together"),
    (lambda m, x: x[-1:].expand(2, 3) * 1, "takes some of the rows"),
    (counted, "sums over the rows"),
]


@pytest.mark.parametrize(("function", "why"), MIXED, ids=[why.replace(" ", "_") for _, why in MIXED])
def test_an_axis_that_is_not_proved_is_refused_with_the_node(function: Any, why: str) -> None:
    lowered = bridge.lower(exported(function, torch.rand(4, 3)))
    with pytest.raises(UsageError, match=r"given_0\.0 cannot be padded: .* at .*test_padding\.py") as error:
        lowered.compile("xla", buckets={"given_0.0": [8]})
    assert why in str(error.value)
    assert lowered.buckets == {}


def test_two_hundred_batch_sizes_are_compiled_at_most_eight_times() -> None:
    buckets = {"given_0.0": [1, 4, 8, 16, 32, 64, 128, 200]}
    f = compiled(exported(lambda m, x: (x.softmax(1), x.max(0).values), torch.rand(4, 3)), buckets=buckets)
    for n in range(1, 201):
        x = torch.rand(n, 3)
        rows, largest = f(x)
        torch.testing.assert_close(rows, x.softmax(1))
        torch.testing.assert_close(largest, x.max(0).values)
    assert f.report.misses == 8
    assert f.report.evictions == 0
    assert f.report.tiers["static"] == 200


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_elements_of_rows_writes_and_checks_are_eager_s(engine: str) -> None:
    """Rows are looked up by number, an input and a buffer are written, and an index is out of bounds."""

    def function(model: Any, x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        model.count.add_(1)
        x.add_(1)
        return x[torch.arange(x.shape[0]), place] + x.gather(1, place[:, None])[:, 0]

    program = exported(function, torch.rand(4, 3), torch.tensor([0, 1, 2, 0]))
    f = compiled(program, engine, buckets={"given_0.0": [8]})
    for n in (1, 5, 7):
        x, place = torch.rand(n, 3), torch.arange(n) % 3
        before = x.clone()
        got = f(x, place)
        torch.testing.assert_close(x, before + 1)
        torch.testing.assert_close(got, 2 * x[torch.arange(n), place])
    assert f.buffers["count"].tolist() == [3.0] * 3
    assert f.report.padded == 3
    with pytest.raises(IndexError):
        f(torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 3]))


def test_a_masked_axis_may_be_stated() -> None:
    """Elements of the mask are 0 in the padding, so that eager's mean is of the others."""
    length = {1: torch.export.Dim("length", max=64)}
    program = torch.export.export(
        Masked(), (torch.rand(3, 5), torch.ones(3, 5)), dynamic_shapes=(length, length)
    )
    lowered = bridge.lower(program)
    with pytest.raises(UsageError, match=r"x\.1 cannot be padded: .*Buckets with a fill states it"):
        lowered.compile("xla", buckets={"x.1": [16]})
    f = lowered.compile("xla", on_new_size="wait", buckets={"x.1": bridge.Buckets([16], fill={"mask": 0.0})})
    assert isinstance(f, bridge.Compiled)
    for n in (1, 7, 16):
        x, mask = torch.rand(3, n), torch.ones(3, n)
        torch.testing.assert_close(f(x, mask), Masked()(x, mask))
    assert f.report.padded == 2


def several(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(0)).sin().cos().exp().tanh().relu()


STATED = [
    (counted, "a statement is for programs that write no buffer"),
    (lambda m, x: torch.cat([x, x]), r"cat has a size of 2\*s\d+, which cannot be cut"),
    (
        lambda m, x: several(several(x) + torch.rand_like(x)),
        "a statement is for programs that are one segment",
    ),
]


@pytest.mark.parametrize(("function", "why"), STATED)
def test_what_cannot_be_stated_is_refused(function: Any, why: str) -> None:
    lowered = bridge.lower(exported(function, torch.rand(4, 3)))
    with pytest.raises(UsageError, match=why):
        lowered.compile("xla", buckets={"given_0.0": bridge.Buckets([8], fill={})})


def test_a_size_that_the_program_excludes_is_refused() -> None:
    class Pairs(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(-1, 2, 3).softmax(-1).reshape(-1, 3)

    shapes = ({0: torch.export.Dim.AUTO},)
    lowered = bridge.lower(torch.export.export(Pairs(), (torch.rand(4, 3),), dynamic_shapes=shapes))
    with pytest.raises(UsageError, match=r"x\.0 cannot be padded to 5: the program requires"):
        lowered.compile("xla", buckets={"x.0": bridge.Buckets([4, 5], fill={})})


def test_an_artifact_keeps_the_buckets_the_proof_and_the_binaries(tmp_path: Path) -> None:
    lowered = bridge.lower(attention())
    f = lowered.compile("iree", on_new_size="wait", buckets={"tokens.0": [4]}, sizes=[{"tokens.0": 4}])
    tokens = torch.randint(0, 11, (2, 5))
    torch.testing.assert_close(f(tokens), Attention().eval()(tokens), rtol=1e-5, atol=1e-5)
    path = lowered.save(tmp_path / "model.bridge")
    assert bridge.load(path).buckets == lowered.buckets
    code = f"""{RUNTIME_ALONE}
import numpy as np
import bridge

compiled = bridge.load({str(path)!r}).compile("iree")
for batch in (1, 2, 4):
    assert compiled(np.zeros((batch, 5), np.int64)).shape == (batch, 5, 8)
assert (compiled.report.padded, compiled.report.tiers["static"]) == (2, 3), compiled.report
assert bridge.load({str(path)!r}).compile("iree", buckets={{}}).report.padding == {{}}
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "BRIDGE_CACHE_BYTES": "0"})


def test_buckets_that_do_not_fit_their_program_are_refused(tmp_path: Path) -> None:
    lowered = bridge.lower(attention())
    lowered.buckets = {"s0": bridge.Buckets([4])}
    path = lowered.save(tmp_path / "model.bridge")
    with pytest.raises(
        bridge.BridgeError, match="its buckets do not fit: the program has no dynamic size 's0'"
    ):
        bridge.load(path)


def test_the_command_line(tmp_path: Path) -> None:
    source, target = tmp_path / "model.pt2", tmp_path / "model.bridge"
    torch.export.save(attention(), source)
    refused("tokens.1 cannot be padded: ", "lower", source, "-o", target, "--buckets", "tokens.1=8")
    refused("--fill is for --stated-buckets", "lower", source, "-o", target, "--fill", "tokens=0")
    ok("lower", source, "-o", target, "-e", "xla", "--buckets", "tokens.0=1,2,4")
    assert "is padded to 1, 2, 4, proved" in (told := ok("info", target))
    assert "; tokens.0 is a batch axis" in told
    assert "; tokens.1 is not a batch axis: scaled_dot_product_attention" in told
    assert told.count("compiled for xla") == 4
    assert "PASSED" in ok("verify", target, "-e", "xla", "--sizes", "tokens.0=3").upper()
