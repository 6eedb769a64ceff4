"""Runs one ATen overload through its rule and an engine, and compares with eager, exactly as a program would.

A sample is a call: `Sample("aten.add.Tensor", (x, y), {"alpha": 2})`. The one-node program is built from
the call itself, so that a sample costs milliseconds, not an export.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from bridge.binaries import Site, after_passes
from lowering.host.processor import processor
from lowering.ir.aten import schema
from lowering.ir.program import (
    Argument,
    Graph,
    InputKind,
    InputSpec,
    Node,
    OutputKind,
    OutputSpec,
    Program,
    Ref,
    Signature,
)
from lowering.ir.tree import LEAF
from lowering.ir.types import DType, Layout, TensorType
from lowering.stablehlo.decomposed_graph import constant
from lowering.stablehlo.emit import emit_module, try_nodes
from lowering.targets.target import Engine, TargetOptions


@dataclass(frozen=True)
class Sample:
    """One call of an overload. `rtol`, `atol`: None takes torch.testing's defaults for the dtype.

    `functional`: an in-place overload, run as functionalisation leaves it (see `Node.functional`).
    """

    target: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    rtol: float | None = None
    atol: float | None = None
    functional: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"{self.target.removeprefix('aten.')}-{_describe((self.args, self.kwargs))}"


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}".replace(" ", "")
    if isinstance(value, list | tuple):
        return ",".join(_describe(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}={_describe(item)}" for key, item in value.items())
    return str(value)


def operator(target: str) -> Callable[..., Any]:
    namespace, name, overload = target.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), overload)


def tensor_type(tensor: torch.Tensor) -> TensorType:
    return TensorType(
        DType(str(tensor.dtype).removeprefix("torch.")),
        tuple(tensor.shape),
        tuple(tensor.stride()) if tensor.layout is torch.strided else (),
        tensor.storage_offset() if tensor.layout is torch.strided else 0,
        layout=Layout(str(tensor.layout).removeprefix("torch.")),
    )


def build_program(
    sample: Sample, reference: Callable[[Any, Sample], list[Any]] | None = None
) -> tuple[Program, list[torch.Tensor], list[torch.Tensor]]:
    """The one-node program of a sample, its input tensors, and the flat results to expect.

    `reference`: gives an operator's results on a sample; by default `on_any_processor`.
    """
    inputs: list[torch.Tensor] = []

    def encode(value: Any) -> Any:
        match value:
            case torch.Tensor():
                inputs.append(value)
                return Ref(f"x{len(inputs) - 1}")
            case list() | tuple():
                return tuple(encode(item) for item in value)
            case torch.dtype() | torch.device() | torch.layout() | torch.memory_format():
                return constant(value)
        return value

    op = operator(sample.target)
    names = [argument.name for argument in op._schema.arguments]
    args = [Argument(name, encode(value)) for name, value in zip(names, sample.args, strict=False)]
    args += [Argument(name, encode(value), keyword=True) for name, value in sample.kwargs.items()]
    types = {f"x{i}": tensor_type(tensor) for i, tensor in enumerate(inputs)}
    expected = (reference or on_any_processor)(op, sample)
    outputs: list[Any] = []
    flat: list[torch.Tensor] = []
    for item in expected:
        if isinstance(item, torch.Tensor):
            outputs.append(f"y{len(flat)}")
            flat.append(item)
        elif item is None:
            outputs.append(None)
        else:
            outputs.append(tuple(f"y{len(flat) + i}" for i in range(len(item))))
            flat.extend(item)
    types |= {f"y{i}": tensor_type(tensor) for i, tensor in enumerate(flat)}
    node = Node("node", sample.target, tuple(args), tuple(outputs), functional=sample.functional)
    results = tuple(Ref(f"y{i}") for i in range(len(flat)))
    graph = Graph(tuple(Ref(f"x{i}") for i in range(len(inputs))), results, (node,), types)
    signature = Signature(
        tuple(InputSpec(InputKind.USER, f"x{i}") for i in range(len(inputs))),
        tuple(OutputSpec(OutputKind.USER, ref) for ref in results),
        LEAF,
        LEAF,
    )
    return Program(graph, signature), inputs, flat


_HALVES = (torch.bfloat16, torch.float16)


def on_any_processor(op: Any, sample: Sample) -> list[Any]:
    """What eager returns; of a convolution of halves, what float32 gives, rounded once.

    Eager's own convolution of halves depends on the processor: where oneDNN has none for them, torch adds
    products in halves, and is off by as much as one in twenty. And where the processor has float16, oneDNN
    sums products of it in float16: it is kept from them.
    """
    in_float16 = processor().has_float16 and any(x.dtype is torch.float16 for x in _tensors(sample))
    with torch.backends.mkldnn.flags(enabled=not in_float16):
        found = eager(op, sample)
    if "conv" not in sample.target or not any(x.dtype in _HALVES for x in _tensors(sample)):
        return found
    args, kwargs = torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda x: x.float() if x.dtype in _HALVES else x, (sample.args, sample.kwargs)
    )
    wide = eager(op, replace(sample, args=args, kwargs=kwargs))
    return [None if want is None else exact.to(want.dtype) for want, exact in zip(found, wide, strict=True)]


def _tensors(sample: Sample) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves((sample.args, sample.kwargs))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def eager(op: Any, sample: Sample) -> list[Any]:
    """What eager returns; for a functional sample also the written arguments that it does not return."""
    call = (sample.args, sample.kwargs)
    args, kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, call)
    with torch.no_grad():
        result = op(*args, **kwargs)
    items = [result] if isinstance(result, torch.Tensor) else list(result or [])
    if items and isinstance(result, list):
        items = [items]
    if sample.functional:
        found = schema(sample.target)
        assert found is not None
        values = dict(zip([a.name for a in found.parameters], args, strict=False)) | kwargs
        items += [values[name] for name in written_not_returned(sample.target, values)]
    return items


def written_not_returned(target: str, values: dict[str, Any]) -> list[str]:
    """Arguments that an overload writes to but does not return, in schema order."""
    if target.endswith("batch_norm.default") and values.get("training"):
        return ["running_mean", "running_var"]
    infos = operator(target)._schema
    returned = {frozenset(r.alias_info.before_set) for r in infos.returns if r.alias_info}
    return [
        a.name
        for a in infos.arguments
        if a.alias_info and a.alias_info.is_write and frozenset(a.alias_info.before_set) not in returned
    ]


def reason_not_lowered(sample: Sample) -> str | None:
    """Why a sample's node would run on ATen, or None if its rule lowers it."""
    program, _, _ = build_program(sample)
    return try_nodes(program, {}).get("node")


def check(sample: Sample, engine: Engine) -> None:
    """Lower, compile, run and compare: dtype, shape and values equal eager's, or AssertionError."""
    program, inputs, expected = build_program(sample)
    names_in = [ref.name for ref in program.graph.inputs]
    names_out = [ref.name for ref in program.graph.outputs]
    module = emit_module(program, program.graph.nodes, names_in, names_out, {}, "sample")
    target = TargetOptions()
    binary = engine.compile(after_passes(module, Site(engine, target)), target)
    executable = engine.load(binary, module, target, {})
    handles = [engine.from_tensor(tensor.detach().contiguous(), target) for tensor in inputs]
    results = executable(handles)
    if module.checks:
        failed = engine.to_numpy(results.pop())
        assert not failed.any(), [check for check, bad in zip(module.checks, failed, strict=True) if bad]
    actual = [engine.to_torch(handle) for handle in results]
    assert len(actual) == len(expected)
    for got, want in zip(actual, expected, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        torch.testing.assert_close(
            got, want.detach().contiguous().resolve_conj().resolve_neg(),
            rtol=sample.rtol, atol=sample.atol, equal_nan=True,
        )  # fmt: skip
