"""`bridge.lower` and `bridge.load`: from a model, or an artifact, to a `Lowered`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from bridge import artifact
from bridge.errors import NotLowered, OperatorRefused, UsageError
from bridge.given_weights import with_weights
from bridge.lowered import Lowered, lower_program
from bridge.methods import LoweredMethods, lower_methods
from bridge.progress import part
from bridge.sources import import_all, read
from lowering.ir.text import described

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource
    from bridge.methods import Shares
    from bridge.sources import Source


@overload
def lower(
    source: Mapping[str, Source],
    *,
    imports: Iterable[str] = (),
    bounds_checks: bool = True,
    strict: bool = False,
    share_buffers: Shares = True,
) -> LoweredMethods: ...


@overload
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
) -> Lowered: ...


def lower(
    source: Source | Mapping[str, Source],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    imports: Iterable[str] = (),
    model: str | None = None,
    bounds_checks: bool = True,
    weights: WeightSource | None = None,
    strict: bool = False,
    share_buffers: Shares = True,
) -> Lowered | LoweredMethods:
    """Read a program, place each of its nodes, and make one StableHLO module per segment.

    `source`: a `.pt2` file, a program's JSON, a Program, an ExportedProgram, or a module, which is exported
    with `args`, `kwargs` and `dynamic_shapes` first. `imports`: modules to import before, which register
    custom operators and pytree types. `model`: which one, where a file holds several. `bounds_checks`:
    whether an index out of bounds raises IndexError, as in eager. Without, StableHLO takes the nearest one in
    bounds. `weights`: others than the source's, as `Lowered.compile` takes them. No weight is read. A program
    that was exported on the meta device or from fake tensors needs none to be lowered.

    `strict`: raise NotLowered, which names every gap, where a node would run on ATen.

    A dict of sources by name gives methods: programs over one set of weights and one state. A file that holds
    several models gives each name its own. Weights of one name must be equal, and are kept once.
    `share_buffers`: whether a buffer that calls write is one for all methods that have it; or the names of
    those that are.

    Raises BridgeError (or a subclass) with one sentence for an unreadable file, a module that cannot be
    exported, an unregistered operator, and arguments that do not fit together.
    """
    if isinstance(source, Mapping):
        if not (args is kwargs is dynamic_shapes is model is weights is None):
            raise UsageError("methods take no arguments, model or weights; export each, give the programs")
        methods = lower_methods(
            source, imports=imports, bounds_checks=bounds_checks, share_buffers=share_buffers
        )
        for lowered in methods.values() if strict else ():
            require_lowered(lowered)
        return methods
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
) -> Any:
    """Read an artifact back: a Lowered, or the LoweredMethods of one with several methods.

     Every file is checked against the manifest first; weights are mapped.

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
    found = artifact.read_methods(Path(path), Lowered, trust)
    for lowered in found.programs.values():
        lowered.device = device
    if set(found.programs) != {""}:
        if weights is not None:
            raise UsageError(f"{path} has methods: compile it, and give weights to set_weights")
        return LoweredMethods(found.programs, found.weights)
    lowered = found.programs[""]
    lowered.artifact = Path(path)
    return lowered if weights is None else with_weights(lowered, weights)
