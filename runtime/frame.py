"""The values of a call, and the data that all steps of a program share.

Values pass between steps by name: as an engine's handle, as a tensor in host form, or both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lowering.host.tensors import ALIGNMENT, aligned
from lowering.ir.facts.effects import sees_memory
from lowering.ir.plan import Segment
from lowering.ir.program import Graph
from lowering.ir.symbols import Scalar, evaluate
from lowering.ir.types import SymType
from lowering.targets.target import Built, Engine, TargetOptions
from runtime.origin import Origin
from runtime.report import Report
from runtime.specialisations import OnNewSize

Specialise = Callable[[Segment, Mapping[str, Scalar]], Built]


class Frame(NamedTuple):
    """The values of one call.

    `host`: tensors of torch or numpy and scalars; `handles`: the engine's. `overwritten`: the buffers' values
    that the call has donated so far, and the new values that lie in their place. `rollback`: functions that
    take back the call's writes in place on the host.
    """

    host: dict[str, Any]
    handles: dict[str, Any]
    symbols: dict[str, Any]
    overwritten: dict[str, str]
    rollback: list[Callable[[], Any]]


class Given(NamedTuple):
    """Tensors that come with each call, by value name: in host form, and as an engine's handles."""

    host: Mapping[str, Any]
    handles: Mapping[str, Any]


NOTHING_GIVEN = Given({}, {})


@dataclass
class Shared:
    """The data that all steps of a program share.

    `constants`: full names of the weights that no call writes, by value name. `updates`: the values of
    buffers and inputs that a call may overwrite, and the new values that take their place; `written_inputs`:
    these inputs. `packed`: see `NodeSegment`. `engines`: the engines that loaded a segment, by the type of
    their handles. `origin`: the lowered program, if it can be asked.
    """

    graph: Graph
    constants: Mapping[str, str]
    updates: Mapping[str, str]
    specialise: Specialise | None
    report: Report
    packed: bool
    on_new_size: OnNewSize = OnNewSize.WAIT
    origin: Origin | None = None
    written_inputs: frozenset[str] = frozenset()
    engines: dict[type, Engine] = field(default_factory=dict)

    @cached_property
    def reads_memory(self) -> bool:
        """Whether a node sees how its tensors lie in memory."""
        return any(map(sees_memory, self.graph.nodes))

    def to_torch(self, handle: Any) -> Any:
        return self.engines[type(handle)].to_torch(handle)

    def to_numpy(self, handle: Any) -> np.ndarray:
        return self.engines[type(handle)].to_numpy(handle)


def import_tensor(engine: Engine, target: TargetOptions, report: Report, value: Any) -> Any:
    """An engine's handle of a tensor, which is made dense first where it is not."""
    if isinstance(value, np.ndarray):
        dense = aligned(value)
        report.copies += dense is not value
        return engine.from_tensor(dense, target)
    if not value.is_contiguous():
        value = value.contiguous()
        report.copies += 1
    elif value.data_ptr() % ALIGNMENT:
        value = value.clone()
        report.copies += 1
    elif value.is_cpu and not value.is_conj() and not value.is_neg():
        return engine.from_known(value, target)
    return engine.from_tensor(value, target)


def read_scalar(shared: Shared, frame: Frame, name: str) -> Any:
    """A symbolic scalar: as a node computed it, else from the symbols."""
    if name in frame.host:
        return frame.host[name]
    if name in frame.handles:
        return shared.to_numpy(frame.handles[name]).item()
    type_ = shared.graph.values[name]
    assert isinstance(type_, SymType), f"value {name} was not computed"
    return evaluate(type_.value, frame.symbols)
