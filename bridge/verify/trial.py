"""One trial: call eager or an engine on copies of the inputs, and take down all that a caller can see."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from bridge.errors import BridgeError
from bridge.lowered import Lowered
from bridge.verify.compare import Difference, compare
from bridge.verify.report import EngineReport
from bridge.verify.tolerances import Kind, kind_of
from lowering.ir.plan import Placement
from runtime.engine import EngineError
from runtime.errors import ExecutionError, InputError
from runtime.tensors import numpy_to_torch

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Observed:
    """What one call showed: the structure and leaves of the result, the inputs and the buffers after it."""

    structure: Any
    values: dict[str, Any]


def run_reference(reference: Any, lowered: Lowered, call: Call, calls: int) -> list[Observed]:
    """Call eager `calls` times. Raises BridgeError where eager itself fails on these inputs."""
    try:
        return [_observe(reference, lowered, call, i) for i in range(calls)]
    except InputError as error:
        raise BridgeError(f"the inputs do not fit the program: {error}") from error
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise BridgeError(f"eager itself fails on these inputs: {error}") from error


def run_engine(
    lowered: Lowered, engine: str, device: str, call: Call, calls: int, expected: list[Observed]
) -> EngineReport:
    """Compile on an engine, call it as often, compare."""
    try:
        compiled = lowered.compile(engine, device)
        differences: list[Difference] = []
        for i, want in enumerate(expected):
            got = _observe(compiled, lowered, call, i)
            differences += _compare_observed(got, want, kind_of(lowered.program))
    except (EngineError, ExecutionError, InputError, RuntimeError, IndexError) as error:
        return EngineReport(engine, 0, 0, 0, (), problem=f"{type(error).__name__}: {error}")
    plan = compiled.report.plan
    counts = {
        placement: sum(len(s.nodes) for s in plan.segments if s.placement is placement)
        for placement in Placement
    }
    return EngineReport(
        engine,
        len(plan.segments),
        counts[Placement.STABLEHLO],
        counts[Placement.ATEN],
        tuple(differences),
        plan.reasons,
    )


def _observe(callee: Any, lowered: Lowered, call: Call, index: int) -> Observed:
    args, kwargs = copy_tensors(call)
    result = callee(*args, **kwargs)
    leaves, structure = torch.utils._pytree.tree_flatten(result)
    after, _ = torch.utils._pytree.tree_flatten((args, kwargs))
    prefix = f"call {index + 1}: " if index else ""
    values = {f"{prefix}output {i}": _frozen(leaf) for i, leaf in enumerate(leaves)}
    values |= {
        f"{prefix}input {i} after the call": _frozen(leaf)
        for i, leaf in enumerate(after)
        if isinstance(leaf, torch.Tensor)
    }
    values |= {f"{prefix}buffer {name} after the call": _as_torch(b) for name, b in callee.buffers.items()}
    return Observed(structure, values)


def copy_tensors(call: Call) -> Call:
    """The call with every tensor copied, strides kept; other leaves are deep copies."""
    return torch.utils._pytree.tree_map(
        lambda leaf: _strided_copy(leaf) if isinstance(leaf, torch.Tensor) else copy.deepcopy(leaf), call
    )


def _strided_copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone(memory_format=torch.preserve_format)


def _frozen(value: Any) -> Any:
    """A value as it is now: engines may reuse an output's memory in the next call."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _as_torch(buffer: Any) -> torch.Tensor:
    return _frozen(buffer) if isinstance(buffer, torch.Tensor) else numpy_to_torch(buffer).clone()


def _compare_observed(got: Observed, want: Observed, kind: Kind) -> list[Difference]:
    differences = [
        compare(name, got.values[name], value, kind)
        for name, value in want.values.items()
        if name in got.values
    ]
    # A buffer that the program never writes is not state of the compiled program, and cannot differ.
    missing = [n for n in want.values if n not in got.values and "buffer" not in n]
    differences += [Difference(name, float("inf"), "is missing") for name in missing]
    if got.structure != want.structure:
        problem = f"is {got.structure}, eager gives {want.structure}"
        differences.append(Difference("the result's structure", float("inf"), problem))
    return differences
