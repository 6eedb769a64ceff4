"""The short way of a call: when it is there, and what it leaves to the long one."""

from __future__ import annotations

import numpy as np
import torch

from lowering.ir.plan import Placement
from lowering.ir.program import Range
from tests.runtime.fakes import N, compiled, node, program, tensor, weights

T3 = tensor(3)
ATEN = Placement.ATEN


def doubled(*sizes, **rest):
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    return program({"x": tensor(*sizes)}, nodes, ["%y"], {"y": tensor(*sizes)}, **rest)


def test_plain_tensors_take_it() -> None:
    f, engine = compiled(doubled(3))
    assert f.executor.loaded.fast is not None
    assert f.executor.loaded.fast((torch.ones(3),)).tolist() == [2.0] * 3
    assert f.executor.loaded.fast((np.ones(3, np.float32),)).tolist() == [2.0] * 3
    assert engine.calls == f.report.calls == 2


def test_other_arguments_are_left_to_the_long_way() -> None:
    f, engine = compiled(doubled(3))
    assert f.executor.loaded.fast is not None
    strided, misaligned = torch.ones(6)[::2], torch.ones(4)[1:]
    # A negated view has the memory, dtype and sizes of a tensor that an engine may have seen.
    negated = torch.ones(3)._neg_view()
    for given in (
        negated,
        strided,
        misaligned,
        torch.ones(4),
        torch.ones(3, dtype=torch.float64),
        [1.0, 1.0, 1.0],
    ):
        assert f.executor.loaded.fast((given,)) is NotImplemented
    assert f.executor.loaded.fast((torch.ones(3), torch.ones(3))) is NotImplemented
    assert engine.calls == 0
    assert f(strided).tolist() == f(misaligned).tolist() == [2.0] * 3
    assert f(negated).tolist() == [-2.0] * 3


def test_sizes_are_learnt() -> None:
    f, engine = compiled(doubled(N, ranges={"s0": Range(2, 9)}))
    assert f.executor.loaded.fast is None
    f(torch.ones(4))
    assert f.executor.loaded.fast is not None
    assert f.executor.loaded.fast((torch.ones(4),)).tolist() == [2.0] * 4
    assert f.executor.loaded.fast((torch.ones(5),)) is NotImplemented
    f(torch.ones(5))
    assert f.executor.loaded.fast((torch.ones(5),)).tolist() == [2.0] * 5
    assert [sizes["s0"] for sizes in engine.loads] == [4, 5]


def test_effects_and_the_host_take_the_long_way() -> None:
    assert compiled(doubled(3), (ATEN, ["y"]))[0].executor.loaded.fast is None
    nodes = [node("aten.add.Tensor", "y", self="%b_n", other="%x")]
    counter = program({"x": T3}, nodes, ["%y"], {"y": T3}, buffers={"n": T3}, writes={"n": "y"})
    assert compiled(counter, weights=weights(n=np.zeros(3, np.float32)))[0].executor.loaded.fast is None
