"""The IR in public: programs as values, from a model or a file, without weights and without an engine.

>>> program = bridge.extract(model, (x,), name="classifier")
>>> program.save("classifier.json")
>>> bridge.execute(bridge.ir.Program.load("classifier.json"), (x,), weights=model.state_dict())
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.api import lower, require_lowered
from bridge.sources import exported_from, import_all, read_exported, read_file
from lowering.ir.json import JSONError
from lowering.ir.location import Location, StackFrame
from lowering.ir.plan import Plan, Segment
from lowering.ir.program import (
    Argument,
    Graph,
    Guard,
    InputKind,
    InputSpec,
    Node,
    OutputKind,
    OutputSpec,
    Program,
    Range,
    Ref,
    Signature,
    WeightSpec,
)
from lowering.ir.types import Device, DType, SymType, TensorType
from lowering.ir.uses import producers, users
from lowering.ir.validate import InvalidProgram, validate
from lowering.python.errors import NoSource

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource

__all__ = [
    "Argument",
    "DType",
    "Device",
    "Graph",
    "Guard",
    "InputKind",
    "InputSpec",
    "InvalidProgram",
    "JSONError",
    "Location",
    "NoSource",
    "Node",
    "OutputKind",
    "OutputSpec",
    "Plan",
    "Program",
    "Range",
    "Ref",
    "Segment",
    "Signature",
    "StackFrame",
    "SymType",
    "TensorType",
    "WeightSpec",
    "execute",
    "extract",
    "producers",
    "read_program",
    "read_schema",
    "users",
    "validate",
]


def extract(
    model: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    dynamic_shapes: Any = None,
    strict: bool = False,
    imports: Iterable[str] = (),
) -> Program:
    """The program of a module, exported with its example arguments, or of an ExportedProgram.

    A model on the meta device needs no memory. `name`: of the model, by default its class. `strict`: raise
    NotLowered, with every gap, where a node would run on ATen. `imports`: modules to import before.

    Raises BridgeError where the model cannot be exported or translated.
    """
    import_all(imports)
    program, _ = read_exported(exported_from(model, args, kwargs, dynamic_shapes))
    program = replace(program, name=type(model).__name__ if name is None else name)
    if strict:
        require_lowered(lower(program))
    return program


def read_program(path: str | PathLike[str], model: str | None = None) -> Program:
    """The program of a `.pt2` file, an artifact, or a program's JSON. Imports neither torch nor jax.

    `model`: which one, where the file holds several. Raises BridgeError.
    """
    from bridge.artifact import is_artifact, read
    from bridge.planned import Planned

    path = Path(path)
    return read(path, Planned, False).program if is_artifact(path) else read_file(path, model)[0]


def read_schema(path: str | PathLike[str], model: str | None = None) -> dict[str, Any]:
    """The document of a `.pt2` file's model, as torch wrote it: plain data. Imports neither torch nor jax.

    `model`: which one, where the file holds several. Raises BridgeError.
    """
    from lowering.frontend.pt2 import read_document

    return read_document(Path(path), model)


def execute(
    program: Program,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    weights: WeightSource | None = None,
    engine: str = "aten",
    cast_weights: bool = False,
) -> Any:
    """Call a program once: node by node on ATen, as eager does, or compiled for another engine.

    `weights`: those of the program, see `Lowered.compile`; a program without weights needs none. Gives the
    results in the structure that the model returns. Raises WeightsRefused, AbsentWeights, InputError.
    """
    lowered = lower(program)
    compiled = lowered.compile(engine, weights=weights, cast_weights=cast_weights, on_new_size="wait")
    return compiled(*args, **(kwargs or {}))
