"""Eager's casts under autocast, written out: against torch's own lists, and against what eager gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lowering.ir.aten import schema
from lowering.ir.facts.higher_order import AUTOCAST
from lowering.ir.program import Argument, Graph, Node, Ref
from lowering.ir.types import Device, DType, TensorType
from lowering.passes.autocast.casts import cast_arguments
from lowering.passes.autocast.policy import REGISTERED
from lowering.passes.inline import inline
from lowering.targets.aten.reference import interpret
from tests.lowering.passes.eager import Body, check, exported, inputs
from tests.ops.driver import Sample, build_program, eager
from tests.ops.test_ops import load_samples

# Operators whose samples draw random numbers, or give what memory happened to hold.
_NOT_REPEATABLE = ("dropout", "rrelu", "empty")


@pytest.mark.parametrize(("device", "key"), [("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")])
def test_the_operators_are_those_that_torch_registers(device: str, key: str) -> None:
    names = torch._C._dispatch_get_all_op_names()
    registered = {
        name.removeprefix("aten::")
        for name in names
        if torch._C._dispatch_has_kernel_for_dispatch_key(name, key) and name.startswith("aten::")
    }
    # torch bans this one on CUDA: no program has it.
    assert registered - set(REGISTERED[device]) <= {"binary_cross_entropy"}
    assert set(REGISTERED[device]) <= registered


def _samples() -> dict[str, list[Sample]]:
    """The samples of each operator: six where it has a policy or is made of others, else two."""
    found: dict[str, list[Sample]] = {}
    for sample in load_samples():
        known = schema(sample.target)
        if known is None or sample.functional or any(name in sample.target for name in _NOT_REPEATABLE):
            continue
        name = sample.target.removeprefix("aten.").removesuffix(".default")
        many = known.composite_implicit or name in REGISTERED["cpu"]
        kept = found.setdefault(sample.target, [])
        if len(kept) < (6 if many else 2):
            kept.append(sample)
    return found


def _of_dtype(sample: Sample, dtype: torch.dtype) -> Sample:
    def cast(item: Any) -> Any:
        return item.to(dtype) if isinstance(item, torch.Tensor) and item.dtype is torch.float32 else item

    args, kwargs = torch.utils._pytree.tree_map(cast, (sample.args, sample.kwargs))
    return replace(sample, args=args, kwargs=kwargs)


_SAMPLES = _samples()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", _SAMPLES)
def test_casts_written_out_give_what_eager_gives(target: str) -> None:
    """Bit for bit, of samples in float32 and in bfloat16, in a region of bfloat16."""
    compared = 0
    for dtype in (torch.float32, torch.bfloat16):
        for sample in _SAMPLES[target]:
            sample = _of_dtype(sample, dtype)
            try:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    program, given, expected = build_program(sample, eager)
            except (RuntimeError, ValueError, NotImplementedError, AssertionError):
                continue  # eager refuses it; the decomposed quantiser by an assertion
            values = dict(program.graph.values)
            names = iter(f"cast_{i}" for i in range(99))
            (node,) = program.graph.nodes
            nodes = cast_arguments(
                node, {"cpu": DType.BFLOAT16}, values, lambda stem, names=names: next(names)
            )
            graph = replace(program.graph, nodes=tuple(nodes), values=values)
            results = interpret(replace(program, graph=graph), {}, given, {})
            for got, want in zip(results, expected, strict=True):
                assert got.dtype == want.dtype, sample
                torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)
            compared += 1
    assert compared, "eager refuses all samples"


def test_nested_regions_and_those_that_are_off() -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            first = x @ y.t()
            with torch.autocast("cpu", dtype=torch.float16):
                second = first @ x
            with torch.autocast("cpu", enabled=False):
                third = first.float() @ x
            joined = torch.cat([first, third @ x.t()])
            state.add_(third)
            return torch.einsum("ij,jk->ik", first, x), second, third, joined, state.sum()

    functional = check(Body(function), inputs())
    assert AUTOCAST not in {node.target for node in functional.graph.nodes}


def test_the_branches_in_a_region_cast_too() -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda x, y: x @ y.t(), lambda x, y: (x - y) @ x.t(), (x, y))

    graph = exported(Body(function), inputs())[0].graph
    given = tuple(Argument("", value) for value in ("cpu", DType.BFLOAT16, True, None, graph, *graph.inputs))
    results = tuple(ref.name for ref in graph.outputs if isinstance(ref, Ref))
    region = Node("region", AUTOCAST, given, results)
    types = {name: graph.values[name] for name in (*results, *(ref.name for ref in graph.inputs))}
    nodes = inline(replace(graph, nodes=(region,), values=types)).nodes
    branches = [a.value for node in nodes for a in node.args if isinstance(a.value, Graph)]
    casts = [[node.target for node in branch.nodes].count("aten._to_copy.default") for branch in branches]
    assert casts == [2, 2]


def test_what_casts_inside_stays_in_a_region_of_its_own() -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (
                torch.nn.functional.bilinear(x, y, state.reshape(1, 3, 4)[:, :, :].new_ones(2, 4, 4))
                + x @ x[:2].t()
            )

    functional = check(Body(function), inputs())
    assert [node.target for node in functional.graph.nodes].count(AUTOCAST) == 1


def _on(device: str, *types: DType) -> list[TensorType]:
    return [TensorType(dtype, (2, 2), (2, 1), device=Device(device)) for dtype in types]


F16, F32, F64 = DType.FLOAT16, DType.FLOAT32, DType.FLOAT64


@pytest.mark.parametrize(
    ("target", "operands", "result", "cast", "given"),
    [
        ("aten.linear.default", _on("cuda", F32, F16), F16, [F16], None),
        ("aten.linear.default", _on("cuda", F64, F64), F64, [], None),
        ("aten.linear.default", _on("cpu", F32, F32), F32, [], None),
        ("aten.exp.default", _on("cuda", F16), F32, [F32], None),
        ("aten.dot.default", _on("cuda", F16, F32), F32, [F32], None),
        ("aten.sum.default", _on("cuda", F16), F32, [], ("aten.sum.default", F32)),
        ("aten.norm.Scalar", _on("cuda", F16), F32, [], ("aten.norm.ScalarOpt_dtype", F32)),
        ("aten.norm.Scalar", _on("cuda", F64), F64, [], ("aten.norm.ScalarOpt_dtype", F64)),
        ("aten.square.default", _on("cuda", F16), F32, [F32], None),
        ("aten.inner.default", _on("cuda", F32, F32), F16, [F16, F16], None),
    ],
)
def test_casts_on_cuda(
    target: str, operands: list[TensorType], result: DType, cast: list[DType], given: Any
) -> None:
    known = schema(target)
    assert known is not None
    values: dict[str, Any] = {f"x{i}": type_ for i, type_ in enumerate(operands)}
    values["y"] = replace(operands[0], dtype=result)
    args = tuple(
        Argument(p.name, Ref(f"x{i}")) for i, p in zip(range(len(operands)), known.parameters, strict=False)
    )
    node = Node("node", target, args, ("y",))
    *casts, last = cast_arguments(node, {"cuda": F16}, values, lambda stem: stem)
    assert [node.args[1].value for node in casts] == cast
    if given is not None:
        assert (last.target, last.args[-1].value) == given
