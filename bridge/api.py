"""`bridge.lower` and `bridge.load`: from a model, or an artifact, to a `Lowered`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import artifact
from bridge.errors import NotLowered, OperatorRefused
from bridge.given_weights import with_weights
from bridge.lowered import Lowered, lower_program
from bridge.progress import part
from bridge.sources import import_all, read
from lowering.ir.text import described

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource
    from bridge.sources import Source


def lower(
    source: Source,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    imports: Iterable[str] = (),
    model: str | None = None,
    bounds_checks: bool = True,
    weights: WeightSource | None = None,
    strict: bool = False,
) -> Lowered:
    """Read a program, place each of its nodes, and make one StableHLO module per segment.

    `source`: a `.pt2` file, a program's JSON, a Program, an ExportedProgram, or a module, which is exported
    with `args`, `kwargs` and `dynamic_shapes` first. `imports`: modules to import before, which register
    custom operators and pytree types. `model`: which one, where a file holds several. `bounds_checks`:
    whether an index out of bounds raises IndexError, as in eager. Without, StableHLO takes the nearest one in
    bounds. `weights`: others than the source's, as `Lowered.compile` takes them. No weight is read. A program
    that was exported on the meta device or from fake tensors needs none to be lowered.

    `strict`: raise NotLowered, which names every gap, where a node would run on ATen.

    Raises BridgeError (or a subclass) with one sentence for an unreadable file, a module that cannot be
    exported, an unregistered operator, and arguments that do not fit together.
    """
    import_all(imports)
    with part("reading the program"):
        program, own = read(source, args, kwargs, dynamic_shapes, model)
    try:
        with part(f"placing {len(program.nodes)} nodes"):
            lowered = lower_program(program, own, bounds_checks)
    except OperatorRefused as error:
        where = f"{source}: " if isinstance(source, str | PathLike) else ""
        raise OperatorRefused(f"{where}{error}") from None
    if strict:
        require_lowered(lowered)
    return lowered if weights is None else with_weights(lowered, weights)


def require_lowered(lowered: Lowered) -> None:
    """Raise NotLowered where a node of the program would run on ATen."""
    if lowered.plan.reasons:
        nodes = {node.name: node for node in lowered.functional.graph.nodes}
        gaps = lowered.plan.reasons.items()
        raise NotLowered({described(nodes[name]): reason for name, reason in gaps if name in nodes})


def load(
    path: str | PathLike[str],
    trust: bool = False,
    imports: Iterable[str] = (),
    weights: WeightSource | None = None,
    device: str = "cpu",
) -> Lowered:
    """Read an artifact back. Every file is checked against the manifest first; weights are mapped.

    An artifact may hold machine code, which engines compiled. Code that this user compiled on this machine
    is signed with a key of theirs and taken. All other code is set aside and compiled anew, unless `trust`
    says that it may run. Nothing else in an artifact is code. `imports`: modules to import before,
    which register custom operators and pytree types. `weights`: others than the artifact's, as
    `Lowered.compile` takes them. `device`: `cpu`, `cuda`, or `cuda:1` for the second GPU: what `compile` then
    takes where nothing else is said.

    On the CPU this imports neither torch nor jax. Raises ArtifactError naming the file for anything missing,
    damaged or of another format. Raises WeightsRefused for weights that do not fit, UsageError for a device
    that no engine finds here.
    """
    if device != "cpu":
        from bridge.dispatch import check_device

        check_device(device)
    import_all(imports)
    lowered = artifact.read(Path(path), Lowered, trust)
    lowered.device = device
    lowered.artifact = Path(path)
    return lowered if weights is None else with_weights(lowered, weights)
